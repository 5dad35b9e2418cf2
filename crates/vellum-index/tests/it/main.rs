//! What the index promises, tested through its public face.

mod damage;
mod model;
mod sharing;
mod support;
