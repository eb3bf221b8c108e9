//! LGMP: the queues under Looking Glass.
