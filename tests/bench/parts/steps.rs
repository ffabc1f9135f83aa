//! What is measured, by name.

use std::{hint::black_box, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use millrace::{
    config::{HeaderScheme, Secret, TokenAuth},
    deliver::{
        decode::{
            Catalog, Fields, Memory, Rules, decode,
            fields::{Action, Came, Encoding, HmacKey, Rule, Target, screen},
            recycle,
        },
        encode::{
            Encoder, Mode, With,
            choice::{Choice, Choices, Surrounding, ValueForm},
            flat::{Scope, Shapes},
        },
        route::Router,
        schema::{Format, IdPlace, SchemaId},
    },
    delivery::{Authenticated, Delivery},
    event::Decoded,
    ingest::authenticate::{
        Proof,
        adobe_signature::AdobeSignature,
        caller::Caller,
        public_keys::PublicKeys,
        token::{Neighbours, Tokens},
    },
    observe::metrics::Metrics,
    sender::adobe::{Keys, keys},
    source::SourceName,
    spool::{
        Config, Folder, SEGMENT_SIZE, Writer,
        disk::{Disk, RealDisk},
        position::Position,
    },
};
use tempfile::TempDir;
use uuid::Uuid;

use super::{bodies::Load, nowhere::Nowhere};

pub const NAMES: &[&str] = &[
    "split-legacy",
    "split-adobe",
    "split-wrapped",
    "route",
    "encode-binary",
    "encode-structured",
    "encode-flat",
    "encode-connect",
    "encode-avro",
    "encode-json-schema",
    "all-legacy",
    "all-custom",
    "all-adobe",
    "all-wrapped",
    "all-structured",
    "all-flat",
    "all-flat-adobe",
    "all-connect",
    "all-avro",
    "all-json-schema",
    "all-legacy-hmac",
    "all-adobe-hmac",
    "all-legacy-rule-unmet",
    "frame-150k",
    "frame-2k",
    "append-150k",
    "append-2k",
    "recovery",
    "signature-150k",
    "signature-2k",
    "token",
];

/// Something that can be done again and again.
pub struct Part {
    pub step: Box<dyn FnMut()>,
    /// Of bodies, a step.
    pub bytes: usize,
    /// Events, deliveries or requests, a step.
    pub events: usize,
}

const EVENTS: usize = 500;

pub fn part(name: &str) -> Part {
    match name {
        "split-legacy" => split(Load::legacy(EVENTS)),
        "split-adobe" => split(Load::adobe(EVENTS)),
        "split-wrapped" => split(Load::wrapped(EVENTS)),
        "route" => route(),
        "encode-binary" => encode(Mode::Binary),
        "encode-structured" => encode(Mode::Structured),
        "encode-flat" => encode_with(flat(Surrounding::None)),
        "encode-connect" => encode_with(flat(Surrounding::Connect)),
        "encode-avro" => encode_as(flat(Surrounding::None), Some(schema(Format::Avro))),
        "encode-json-schema" => {
            encode_as(flat(Surrounding::None), Some(schema(Format::JsonSchema)))
        }
        "all-legacy" => all(Load::legacy(EVENTS), Mode::Binary),
        "all-custom" => all(Load::legacy_custom(EVENTS), Mode::Binary),
        "all-adobe" => all(Load::adobe(EVENTS), Mode::Binary),
        "all-wrapped" => all(Load::wrapped(EVENTS), Mode::Binary),
        "all-structured" => all(Load::legacy(EVENTS), Mode::Structured),
        // Beside `all-legacy` and `all-adobe`, whose values are `data`.
        "all-flat" => all_by(Load::legacy(EVENTS), flat(Surrounding::None), of_flat()),
        "all-flat-adobe" => all_by(Load::adobe(EVENTS), flat(Surrounding::None), of_flat()),
        "all-connect" => all_by(Load::legacy(EVENTS), flat(Surrounding::Connect), of_flat()),
        "all-avro" => all_as(Format::Avro),
        "all-json-schema" => all_as(Format::JsonSchema),
        // Beside these two: one rule on a field that each event has, and on one that none has.
        "all-legacy-hmac" => {
            all_by(Load::legacy(EVENTS), Encoder::new(Mode::Binary), hmac("Client IP Address"))
        }
        "all-adobe-hmac" => {
            all_by(Load::adobe(EVENTS), Encoder::new(Mode::Binary), hmac("Client IP Address"))
        }
        "all-legacy-rule-unmet" => {
            all_by(Load::legacy(EVENTS), Encoder::new(Mode::Binary), hmac("Email Address"))
        }
        "frame-150k" => append(Where::Nowhere, 7, 150_000),
        "frame-2k" => append(Where::Nowhere, 64, 2_000),
        "append-150k" => append(Where::Disk, 7, 150_000),
        "append-2k" => append(Where::Disk, 64, 2_000),
        "recovery" => recovery(),
        "signature-150k" => signature(150_000),
        "signature-2k" => signature(2_000),
        "token" => token(),
        other => panic!("no part is called {other}"),
    }
}

fn source() -> SourceName {
    SourceName::new("leads").unwrap()
}

fn router() -> Router {
    Router::new("marketo.{stream}.{type}").unwrap()
}

fn split(load: Load) -> Part {
    let (bytes, rules) = (load.bytes(), Rules::default());
    let mut spare = Vec::new();
    let step = move || {
        for body in &load.bodies {
            let mut out = recycle(std::mem::take(&mut spare));
            decode(load.kind, &rules, black_box(body.as_bytes()), &[], &mut out).unwrap();
            spare = recycle(black_box(out));
        }
    };
    Part { step: Box::new(step), bytes, events: EVENTS }
}

/// The way of an event from the spool to the client library.
fn all(load: Load, mode: Mode) -> Part {
    all_with(load, Encoder::new(mode))
}

/// Of records whose values are flat.
fn flat(envelope: Surrounding) -> Encoder {
    let choice = Choice { value: ValueForm::Flat, envelope, ..Choice::default() };
    let shapes = || Shapes::new(Scope::Type, &Catalog::builtin(), &[], &Fields::default());
    Encoder::of(Mode::Binary, Choices::new(choice, [], shapes))
}

/// What a record needs of a schema whose id is known.
fn schema(format: Format) -> With {
    let (id, place) = (SchemaId { number: 7, guid: None }, IdPlace::Value);
    With { format, id: id.spell(place), place }
}

/// How deliveries are read whose events become flat values.
fn of_flat() -> Rules {
    Rules { hand_over: true, ..Rules::default() }
}

fn all_as(format: Format) -> Part {
    let with = Some(schema(format));
    all_of(Load::legacy(EVENTS), flat(Surrounding::None), of_flat(), with)
}

fn all_with(load: Load, encoder: Encoder) -> Part {
    all_by(load, encoder, Rules::default())
}

/// One rule on what is called so.
fn hmac(name: &str) -> Rules {
    let action = Action::Hmac(HmacKey::new(&[7; 32]).unwrap(), Encoding::Hex);
    let target = Target::attribute(name).unwrap();
    let rule =
        Rule { name: name.to_owned(), target, sources: Vec::new(), types: Vec::new(), action };
    Rules { fields: Fields::new(vec![rule]), ..Rules::default() }
}

fn all_by(load: Load, encoder: Encoder, rules: Rules) -> Part {
    all_of(load, encoder, rules, None)
}

fn all_of(load: Load, mut encoder: Encoder, rules: Rules, with: Option<With>) -> Part {
    let (bytes, router, source) = (load.bytes(), router(), source());
    let mut topic = String::new();
    let (mut spare, mut memory) = (Vec::new(), Memory::default());
    let step = move || {
        for body in &load.bodies {
            let body = black_box(body.as_bytes());
            let screened = screen(load.kind, &rules, body, &[], Came::FromSender);
            let screened = screened.with_memory(std::mem::take(&mut memory));
            let mut out = recycle(std::mem::take(&mut spare));
            screened.decode(load.kind, &rules, &[], &mut out).unwrap();
            for event in out.iter().flatten() {
                let position = Position { sequence: 1, index: event.index };
                let topic = router.topic(&source, event, &mut topic);
                let with = with.as_ref();
                let encoded = encoder.encode_with(with, topic, Uuid::nil(), position, event);
                black_box(encoded.record());
            }
            spare = recycle(out);
            memory = screened.into_memory();
        }
    };
    Part { step: Box::new(step), bytes, events: EVENTS }
}

/// Events of a batch, for as long as the program runs.
fn events() -> (usize, Vec<Decoded<'static>>) {
    let load = Load::legacy(EVENTS);
    let (bytes, kind) = (load.bytes(), load.kind);
    let body: &'static str = load.bodies.concat().leak();
    let rules: &'static Rules = Box::leak(Box::default());
    let mut out = Vec::new();
    decode(kind, rules, body.as_bytes(), &[], &mut out).unwrap();
    (bytes, out)
}

fn route() -> Part {
    let ((bytes, events), router, source) = (events(), router(), source());
    let mut topic = String::new();
    let step = move || {
        for event in events.iter().flatten() {
            black_box(router.topic(&source, black_box(event), &mut topic));
        }
    };
    Part { step: Box::new(step), bytes, events: EVENTS }
}

fn encode(mode: Mode) -> Part {
    encode_with(Encoder::new(mode))
}

fn encode_with(encoder: Encoder) -> Part {
    encode_as(encoder, None)
}

fn encode_as(mut encoder: Encoder, with: Option<With>) -> Part {
    let (bytes, events) = events();
    let step = move || {
        for event in events.iter().flatten() {
            let position = Position { sequence: 1, index: event.index };
            let (with, event) = (with.as_ref(), black_box(event));
            let encoded = encoder.encode_with(with, "topic", Uuid::nil(), position, event);
            black_box(encoded.record());
        }
    };
    Part { step: Box::new(step), bytes, events: EVENTS }
}

enum Where {
    /// The frame, its checksum and the bookkeeping, without a disk.
    Nowhere,
    /// With the write and the sync.
    Disk,
}

fn config(directory: &Path) -> Config {
    Config {
        directory: directory.to_owned(),
        size_limit: u64::MAX,
        source_limits: Vec::new(),
        reserve: 0,
        reserve_held: 0,
        keep_delivered_age: Duration::ZERO,
        keep_delivered_size: 0,
        segment_size: SEGMENT_SIZE,
    }
}

fn delivery(length: usize) -> Authenticated {
    let headers = vec![("content-type".into(), "application/json".into())];
    let body = vec![b'x'; length].into();
    let delivery = Delivery { source: source(), received_at: 1_772_445_600_000, headers, body };
    Authenticated::new(delivery, Proof::by_operator())
}

/// A group of deliveries onto a spool that is read, and emptied, behind.
fn append(to: Where, count: usize, length: usize) -> Part {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = match to {
        Where::Nowhere => Arc::new(Nowhere),
        Where::Disk => Arc::new(RealDisk),
    };
    let spools = Folder::open(disk, &config(folder.path())).unwrap();
    let (mut writer, spool) = spools.spool(&source(), None, &Metrics::new(), None).unwrap();
    let group: Vec<_> = (0..count).map(|_| delivery(length)).collect();
    let mut appended = 0;
    let step = move || {
        let _ = &folder;
        writer.append_group(black_box(&group)).unwrap();
        appended += 1;
        if appended % 256 == 0 {
            spool.delivered(Position::start_of(spool.durable_end()));
        }
    };
    Part { step: Box::new(step), bytes: count * length, events: count }
}

/// What a start reads: a last segment that is full.
fn recovery() -> Part {
    let folder = tempfile::tempdir().unwrap();
    let count = (SEGMENT_SIZE as usize - 1_000_000) / 150_200;
    fill(&folder, count);
    let step = move || {
        let spools = Folder::open(Arc::new(RealDisk), &config(folder.path())).unwrap();
        black_box(spools.spool(&source(), None, &Metrics::new(), None).unwrap());
    };
    Part { step: Box::new(step), bytes: count * 150_000, events: count }
}

fn fill(folder: &TempDir, count: usize) {
    let spools = Folder::open(Arc::new(RealDisk), &config(folder.path())).unwrap();
    let (mut writer, _spool): (Writer, _) =
        spools.spool(&source(), None, &Metrics::new(), None).unwrap();
    for _ in 0..count {
        writer.append_group(&[delivery(150_000)]).unwrap();
    }
}

/// Both of Adobe's signatures; the keys are files, read each time.
fn signature(length: usize) -> Part {
    let folder = tempfile::tempdir().unwrap();
    let pairs = Keys::generate("bench").unwrap();
    keys::write(&pairs, folder.path()).unwrap();
    let gate = AdobeSignature::new(PublicKeys::in_folder(folder.path().into(), &Metrics::new()));
    let body = Bytes::from(vec![b'x'; length]);
    let mut headers = HeaderMap::new();
    for (n, (signature, path)) in (1..).zip(pairs.sign(&body).unwrap().iter().zip(&pairs.paths())) {
        let names =
            [format!("x-adobe-digital-signature-{n}"), format!("x-adobe-public-key{n}-path")];
        for (name, value) in names.into_iter().zip([signature, path]) {
            let name = http::HeaderName::try_from(name).unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let step = move || {
        let _ = &folder;
        let now = std::time::Instant::now();
        runtime.block_on(async {
            let signed = gate.admit(black_box(&headers), Caller::default(), now).await.unwrap();
            signed.prove(&body, now).await.unwrap();
        });
    };
    Part { step: Box::new(step), bytes: length, events: 1 }
}

fn token() -> Part {
    let tokens = Tokens::new(&TokenAuth {
        tokens: vec![Secret::new("bench-token").unwrap(), Secret::new("other-token").unwrap()],
        header_scheme: HeaderScheme::Bearer,
        query_parameter: None,
    });
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Bearer bench-token"));
    let step = move || {
        black_box(tokens.authenticate(black_box(&headers), None, &Neighbours::default()).unwrap());
    };
    Part { step: Box::new(step), bytes: 0, events: 1 }
}
