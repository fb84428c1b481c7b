//! Messages between processes as HTTP posts, with links.
