//! The engine against the contract, after restarts, and on disks that fail.
