//! Training data: datasets and their parsers, the mixture, and workers that prepare examples ahead of the device.
