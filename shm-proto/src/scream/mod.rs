//! Scream: the sound an unmodified Scream driver writes into IVSHMEM.
