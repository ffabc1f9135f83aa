//! The pages, a file each: from the API's objects to HTML. None of them asks the API itself.

pub mod dead_letters;
pub mod deliveries;
pub mod delivery;
pub mod overview;
pub mod path;
pub mod problem;
pub mod replay;
pub mod sign_in;
pub mod test;
