//! A whole guest on the other side: honest, slow, restarting, hostile.
