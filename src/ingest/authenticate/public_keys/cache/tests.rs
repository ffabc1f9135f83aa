use super::{
    super::key::tests::{key_pair, pem},
    *,
};

const SECOND: Duration = Duration::from_secs(1);

fn path(name: &str) -> KeyPath {
    KeyPath::new(&format!("/prod/keys/{name}.pem")).unwrap()
}

fn key() -> PublicKey {
    PublicKey::from_pem(pem(&key_pair()).as_bytes()).unwrap()
}

/// Returns a cache, a path whose key it knows, and when that was fetched.
fn knowing() -> (Cache, KeyPath, Instant) {
    let now = Instant::now();
    let path = path("known");
    let mut cache = Cache::new();
    let fetch = cache.begin(&path, now).unwrap();
    cache.end(fetch, Ok(key()));
    (cache, path, now)
}

fn has_key(asked: &Asked) -> bool {
    matches!(asked.answer, Answer::Key(_))
}

#[test]
fn a_request_during_a_fetch_of_its_key_waits_for_that_fetch() {
    let now = Instant::now();
    let mut cache = Cache::new();
    let fetch = cache.begin(&path("k"), now).unwrap();
    let Asked { answer: Answer::Wait(in_flight), fetch: None } =
        cache.ask(&path("k"), MAX_KEY_AGE, now + SECOND)
    else {
        panic!("a second fetch, or no wait")
    };
    assert!(!in_flight.is_over());
    cache.end(fetch, Ok(key()));
    assert!(in_flight.is_over());
    assert!(has_key(&cache.ask(&path("k"), MAX_KEY_AGE, now + SECOND)));
}

#[test]
fn a_key_is_refreshed_ahead_of_its_end_once_and_used_meanwhile_and_never_beyond_it() {
    let (mut cache, path, began) = knowing();
    let asked = cache.ask(&path, MAX_KEY_AGE, began + REFRESH_AGE - SECOND);
    assert!(has_key(&asked) && asked.fetch.is_none());
    let mut asked = cache.ask(&path, MAX_KEY_AGE, began + REFRESH_AGE);
    assert!(has_key(&asked));
    let again = cache.ask(&path, MAX_KEY_AGE, began + REFRESH_AGE + SECOND);
    assert!(has_key(&again) && again.fetch.is_none(), "one at a time");
    let fetch = asked.fetch.take().unwrap();
    cache.end(fetch, Err(Unavailable::NotThere));
    let soon = cache.ask(&path, MAX_KEY_AGE, began + REFRESH_AGE + REFRESH_PAUSE - SECOND);
    assert!(has_key(&soon) && soon.fetch.is_none(), "a pause after a failure");
    let later = cache.ask(&path, MAX_KEY_AGE, began + REFRESH_AGE + REFRESH_PAUSE);
    assert!(has_key(&later));
    cache.end(later.fetch.unwrap(), Err(Unavailable::NotThere));
    assert!(has_key(&cache.ask(&path, MAX_KEY_AGE, began + MAX_KEY_AGE - SECOND)));
    let expired = cache.ask(&path, MAX_KEY_AGE, began + MAX_KEY_AGE);
    assert!(matches!(expired.answer, Answer::Wait(_)), "{expired:?}");
    let expired = cache.ask(&path, 2 * MAX_KEY_AGE, began + MAX_KEY_AGE);
    assert!(!has_key(&expired), "an older one may not be asked for");
}

#[test]
fn a_fresh_key_is_fetched_again_only_when_it_is_older_than_asked_for() {
    let (mut cache, path, began) = knowing();
    assert!(has_key(&cache.ask(&path, 60 * SECOND, began + 59 * SECOND)));
    let asked = cache.ask(&path, 60 * SECOND, began + 60 * SECOND);
    assert!(!has_key(&asked));
    cache.end(asked.fetch.unwrap(), Ok(key()));
    let asked = cache.ask(&path, 60 * SECOND, began + 119 * SECOND);
    assert!(has_key(&asked) && asked.fetch.is_none());
}

#[test]
fn after_a_failure_there_is_a_pause_that_says_why() {
    let now = Instant::now();
    let mut cache = Cache::new();
    let fetch = cache.begin(&path("k"), now).unwrap();
    cache.end(fetch, Err(Unavailable::NotThere));
    let asked = cache.ask(&path("k"), MAX_KEY_AGE, now + LONG_PAUSE - SECOND);
    assert!(matches!(asked.answer, Answer::Unavailable(Unavailable::NotThere)));
    assert!(cache.begin(&path("k"), now + LONG_PAUSE).is_some());
}

#[test]
fn a_fetch_whose_task_is_gone_holds_up_no_other() {
    let now = Instant::now();
    let mut cache = Cache::new();
    drop(cache.begin(&path("k"), now));
    assert!(cache.begin(&path("k"), now).is_some());
}

fn wants_a_turn(asked: &Asked) -> bool {
    matches!((&asked.answer, &asked.fetch), (Answer::Turn, None))
}

#[test]
fn an_unproven_path_is_fetched_only_after_a_turn_and_once() {
    let now = Instant::now();
    let mut cache = Cache::new();
    assert!(wants_a_turn(&cache.ask(&path("k"), MAX_KEY_AGE, now)));
    assert!(wants_a_turn(&cache.ask(&path("k"), MAX_KEY_AGE, now)));
    let fetch = cache.begin(&path("k"), now).unwrap();
    assert!(!fetch.is_trusted);
    assert!(cache.begin(&path("k"), now).is_none(), "it is being fetched");
    cache.end(fetch, Err(Unavailable::NotThere));
    assert!(cache.begin(&path("k"), now + SECOND).is_none(), "there is a pause");
    assert!(cache.begin(&path("k"), now + LONG_PAUSE).is_some());
}

#[test]
fn a_flood_of_unknown_paths_takes_few_places_and_known_keys_stay() {
    let (mut cache, known, began) = knowing();
    for n in 0..2_000u32 {
        let now = began + n * Duration::from_millis(1);
        let fetch = cache.begin(&path(&n.to_string()), now).unwrap();
        cache.end(fetch, Err(Unavailable::NotThere));
    }
    assert_eq!(cache.entries.len(), 1 + Kind::StrangeWithout.entries());
    assert!(has_key(&cache.ask(&known, MAX_KEY_AGE, began + SECOND)));
}

#[test]
fn of_too_many_known_keys_the_one_that_was_used_last_stays() {
    let (mut cache, known, began) = knowing();
    for n in 1..200 {
        let now = began + n * SECOND;
        let fetch = cache.begin(&path(&n.to_string()), now).unwrap();
        cache.end(fetch, Ok(key_of_everybody()));
        assert!(has_key(&cache.ask(&known, MAX_KEY_AGE, now)));
    }
    assert!(cache.entries.len() <= Kind::StrangeWithKey.entries() + 1, "{}", cache.entries.len());
}

#[test]
fn a_key_that_proved_a_delivery_of_ours_stays_when_strangers_name_any_number_of_true_keys() {
    let (mut cache, known, began) = knowing();
    assert!(cache.vouch(&known, None, began).is_news);
    for n in 1..200 {
        let fetch = cache.begin(&path(&n.to_string()), began + n * SECOND).unwrap();
        cache.end(fetch, Ok(key_of_everybody()));
    }
    assert!(has_key(&cache.ask(&known, MAX_KEY_AGE, began + 200 * SECOND)));
}

#[test]
fn a_proven_path_needs_no_turn_when_its_key_is_gone() {
    let (mut cache, known, began) = knowing();
    cache.vouch(&known, None, began);
    let late = began + 2 * MAX_KEY_AGE;
    let Asked { answer: Answer::Wait(_), fetch: Some(fetch) } =
        cache.ask(&known, MAX_KEY_AGE, late)
    else {
        panic!("no fetch")
    };
    assert!(fetch.is_trusted);
    assert!(cache.end(fetch, Ok(key_of_everybody())), "news for the next process");
}

#[test]
fn a_proven_key_is_renewed_ahead_of_its_end_whether_it_is_used_or_not() {
    let (mut cache, known, began) = knowing();
    assert!(cache.due(began + REFRESH_AGE).is_empty(), "a stranger's is not");
    cache.vouch(&known, None, began);
    assert!(cache.due(began + REFRESH_AGE - SECOND).is_empty());
    let fetches = cache.due(began + REFRESH_AGE);
    assert_eq!(fetches.iter().map(|it| &it.path).collect::<Vec<_>>(), [&known]);
    assert!(cache.due(began + REFRESH_AGE).is_empty(), "one at a time");
    for fetch in fetches {
        cache.end(fetch, Err(Unavailable::NotThere));
    }
    assert!(cache.due(began + REFRESH_AGE + REFRESH_PAUSE - SECOND).is_empty());
    assert_eq!(cache.due(began + REFRESH_AGE + REFRESH_PAUSE).len(), 1);
    assert!(cache.due(began + FORGET_AFTER).is_empty(), "nothing was proved for a week");
}

#[test]
fn the_path_beside_a_proven_one_is_fetched_ahead_without_a_turn_and_at_a_bounded_rate() {
    let (mut cache, known, began) = knowing();
    let fetch = cache.vouch(&known, Some(&path("second")), began).fetch.unwrap();
    assert!(fetch.is_trusted);
    cache.end(fetch, Err(Unavailable::NotThere));
    assert!(cache.vouch(&known, Some(&path("second")), began).fetch.is_none(), "a pause");
    let again = cache.vouch(&known, Some(&path("second")), began + REFRESH_PAUSE);
    cache.end(again.fetch.unwrap(), Ok(key_of_everybody()));
    assert!(has_key(&cache.ask(&path("second"), MAX_KEY_AGE, began + REFRESH_PAUSE)));
    let copies = (0..1000).filter(|n| {
        let other = path(&format!("copy-{n}"));
        cache.vouch(&known, Some(&other), began + REFRESH_PAUSE).fetch.is_some()
    });
    assert_eq!(copies.count(), INTRODUCED_AT_ONCE as usize);
    assert!(cache.entries.len() <= 1 + Kind::Introduced.entries());
}

#[test]
fn proven_keys_are_kept_for_the_next_process_and_strangers_are_not() {
    let (mut cache, known, began) = knowing();
    let stranger = cache.begin(&path("stranger"), began).unwrap();
    cache.end(stranger, Ok(key_of_everybody()));
    assert!(cache.kept().is_empty());
    assert!(cache.vouch(&known, None, began).is_news);
    assert!(
        !cache.vouch(&known, None, began + NOTE_INTERVAL - SECOND).is_news,
        "not with each delivery"
    );
    assert!(cache.vouch(&known, None, began + NOTE_INTERVAL).is_news);
    let kept = cache.kept();
    assert_eq!(kept.iter().map(|kept| &kept.path).collect::<Vec<_>>(), [&known]);
    let mut next = Cache::new();
    next.remember(kept, began + SECOND);
    assert!(has_key(&next.ask(&known, MAX_KEY_AGE, began + MAX_KEY_AGE - SECOND)));
    let expired = next.ask(&known, MAX_KEY_AGE, began + MAX_KEY_AGE);
    assert!(!has_key(&expired) && expired.fetch.is_some(), "fetched again, and at once");
}

/// Making a key takes long.
fn key_of_everybody() -> PublicKey {
    static PEM: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| pem(&key_pair()));
    PublicKey::from_pem(PEM.as_bytes()).unwrap()
}
