//! How far deliveries are settled, with what their repeats rest on.

use crate::{Process, SETTINGS, START, claim, deliver, disk, settle};

fn start() -> Process {
    let Process { leads, adobe, metrics } = Process::start(&disk(), SETTINGS);
    let (leads, adobe) = (leads.watching_owners(), adobe.watching_owners());
    Process { leads, adobe, metrics }
}

#[test]
fn a_repeat_is_settled_only_once_its_owner_is() {
    let Process { mut leads, mut adobe, .. } = start();
    assert!(!claim(&mut leads, "a", 7, START).is_repeat());
    assert!(claim(&mut adobe, "a", 3, START).is_repeat());
    settle(&mut adobe, "b", 4, START);
    // The repeat's own source has passed it, and the owner's has not.
    assert_eq!(leads.settled_end(7), 7);
    assert_eq!(adobe.settled_end(5), 3);
    assert!(adobe.rest_on_others());
    assert_eq!(leads.settled_end(8), 8);
    assert_eq!(adobe.settled_end(5), 5);
    assert!(!adobe.rest_on_others());
}

#[test]
fn sources_that_repeat_each_other_wait_for_no_circle() {
    let Process { mut leads, mut adobe, .. } = start();
    claim(&mut leads, "a", 2, START);
    claim(&mut adobe, "b", 2, START);
    assert!(claim(&mut leads, "b", 1, START).is_repeat());
    assert!(claim(&mut adobe, "a", 1, START).is_repeat());
    assert_eq!((leads.settled_end(2), adobe.settled_end(2)), (1, 1));
    assert_eq!((leads.settled_end(3), adobe.settled_end(3)), (1, 3));
    assert_eq!(leads.settled_end(3), 3);
}

#[test]
fn a_repeat_of_what_was_delivered_before_the_start_and_one_of_the_same_source_hold_up_nothing() {
    let disk = disk();
    deliver(&mut Process::start(&disk, SETTINGS).leads, "a", 1, START);
    let mut adobe = Process::start(&disk, SETTINGS).adobe.watching_owners();
    assert!(claim(&mut adobe, "a", 9, START).is_repeat());
    claim(&mut adobe, "b", 9, START);
    assert!(claim(&mut adobe, "b", 10, START).is_repeat());
    assert_eq!(adobe.settled_end(9), 9, "its own event there is not settled");
    assert_eq!(adobe.settled_end(11), 11);
    assert!(!adobe.rest_on_others());
}
