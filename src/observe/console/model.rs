//! The objects of the API, which the pages show.
//!
//! They are read from the API's own answers, within the process, so that a page shows what a program would get, and
//! nothing that the API would keep back.

use crate::observe::api;

pub use crate::observe::api::objects::*;

impl From<api::Problem> for Problem {
    fn from(problem: api::Problem) -> Self {
        Self { error: problem.error.to_owned(), text: problem.text }
    }
}
