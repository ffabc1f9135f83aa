//! What decoding, routing and encoding take from the heap: so much a delivery, and nothing an event.

use std::collections::HashSet;

use allocation_counter::{AllocationInfo, measure};
use millrace::{
    deliver::{
        decode::{
            Catalog, Memory, Rules,
            adobe::{Unnamed, check_recipients},
            fields::{Came, screen},
            recycle,
        },
        encode::{
            Encoder, Mode,
            choice::{Choice, Choices, Surrounding, ValueForm},
            flat::{Scope, Shapes},
        },
        route::Router,
    },
    source::SourceName,
    spool::position::Position,
};
use uuid::Uuid;

use crate::bodies::Load;

/// Allocations for the second body of two, when there is memory that the first one has left.
fn allocations(load: impl Fn(usize) -> Load, events: usize, mode: Mode) -> u64 {
    allocations_of(load, events, Encoder::new(mode), &Rules::default())
}

/// The same, of an encoder and of rules for it.
fn allocations_of(
    load: impl Fn(usize) -> Load,
    events: usize,
    mut encoder: Encoder,
    rules: &Rules,
) -> u64 {
    let load = load(events);
    let router = Router::new("marketo.{stream}.{type}").unwrap();
    let source = SourceName::new("leads").unwrap();
    let mut topic = String::new();
    let (mut spare, mut memory) = (Vec::new(), Memory::default());
    let mut bring = || {
        for body in &load.bodies {
            let mut out = recycle(std::mem::take(&mut spare));
            let screened = screen(load.kind, rules, body.as_bytes(), &[], Came::FromSender);
            let screened = screened.with_memory(std::mem::take(&mut memory));
            screened.decode(load.kind, rules, &[], &mut out).unwrap();
            assert_eq!(out.len(), events / load.bodies.len());
            for event in out.iter().map(|event| event.as_ref().unwrap()) {
                let position = Position { sequence: 1, index: event.index };
                let topic = router.topic(&source, event, &mut topic);
                let encoded = encoder.encode(topic, Uuid::nil(), position, event);
                assert!(!encoded.record().value.unwrap().is_empty());
            }
            spare = recycle(out);
            memory = screened.into_memory();
        }
    };
    bring();
    bring();
    let AllocationInfo { count_total, .. } = measure(bring);
    count_total
}

/// Between batches of 100 and of 400, the few that grow with their doubling aside.
fn per_event(load: impl Fn(usize) -> Load, mode: Mode) -> f64 {
    let (few, many) = (allocations(&load, 100, mode), allocations(&load, 400, mode));
    // A list that grows to four times its length doubles twice more.
    many.saturating_sub(few + 2) as f64 / 300.0
}

#[test]
fn an_event_of_a_push_takes_nothing_from_the_heap() {
    for mode in Mode::ALL {
        assert_eq!(per_event(Load::legacy, mode), 0.0, "{mode:?}");
        assert_eq!(per_event(Load::legacy_custom, mode), 0.0, "{mode:?}, of the customer's own");
    }
}

#[test]
fn a_flat_value_takes_nothing_from_the_heap() {
    let rules = Rules { hand_over: true, ..Rules::default() };
    for envelope in [Surrounding::None, Surrounding::Connect] {
        for load in [Load::legacy, Load::legacy_custom, Load::adobe] {
            let taken = |events| {
                let choice = Choice { value: ValueForm::Flat, envelope, ..Choice::default() };
                let shapes =
                    || Shapes::new(Scope::Type, &Catalog::builtin(), &[], &Default::default());
                let encoder = Encoder::of(Mode::Binary, Choices::new(choice, [], shapes));
                allocations_of(load, events, encoder, &rules)
            };
            let (few, many) = (taken(100), taken(400));
            assert!(many <= few + 6, "{envelope:?}: {few}, {many}");
        }
    }
}

#[test]
fn an_event_of_a_batch_of_adobe_takes_nothing_from_the_heap() {
    for mode in Mode::ALL {
        assert_eq!(per_event(Load::adobe, mode), 0.0, "{mode:?}");
    }
}

#[test]
fn a_wrapped_event_takes_one_allocation_for_each_wrapping() {
    // `event`, and the `body` in it; the events are no audit, whose keys are longer.
    assert!(per_event(Load::wrapped_batch, Mode::Binary) <= 2.0);
}

#[test]
fn a_delivery_takes_little_however_many_events_it_has() {
    for load in [Load::legacy, Load::adobe] {
        let taken = allocations(load, 500, Mode::Binary);
        assert!(taken <= 10, "{taken} allocations");
    }
}

#[test]
fn the_check_of_recipients_takes_nothing_from_the_heap() {
    let ours = HashSet::from(["client-1".to_owned()]);
    // The wrapped ones name no recipient.
    for (load, unnamed) in
        [(Load::adobe(100), Unnamed::Refused), (Load::wrapped_batch(100), Unnamed::Allowed)]
    {
        let check = || {
            for body in &load.bodies {
                assert_eq!(check_recipients(body.as_bytes(), &ours, unnamed), Ok(()));
            }
        };
        assert_eq!(measure(check).count_total, 0);
    }
}
