//! SHA-256 digests, by which secrets are compared, and which are remembered in place of senders' texts.

use aws_lc_rs::{constant_time, digest};

pub type Digest = [u8; 32];

/// Digests `pieces`, one behind the other.
pub fn sha256(pieces: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    pieces.iter().for_each(|piece| context.update(piece));
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Returns whether `accepted` has `presented`, in a time that depends only on the number of accepted ones.
pub fn is_among(accepted: &[Digest], presented: &Digest) -> bool {
    let equal = |one: &Digest| constant_time::verify_slices_are_equal(one, presented).is_ok();
    accepted.iter().fold(false, |any, one| any | equal(one))
}
