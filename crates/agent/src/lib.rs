//! The agent's shell: sockets, routes, disks, containers and the loop around its core.
