//! The master's shell: sockets, routes, documents and the loop around its core.
