"""From training rows to the parts of a bundle: folds, the stages fitted inside them, calibration out of fold, canaries."""
