"""The venue's own books: accounts, money, orders and positions of people outside who trade in a synthetic market. Pure."""
