"""IO: transports, journal, capture files, control socket, service manager."""
