//! Ranking metrics, and their evaluation on a file of pairs.
