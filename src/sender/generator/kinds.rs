//! The types of activity that the generator makes, with their frequencies.
//!
//! Ids and names of the standard types are Marketo's published ones. Attributes are those that these types
//! usually carry; Marketo does not guarantee them.

use crate::sender::random::Random;

use super::values::Value::{self, Address, Browser, Flag, Json, Link, Mail, Number, Page, Text};

/// One type of activity.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub id: u64,
    pub name: &'static str,
    /// Relative frequency.
    pub weight: u32,
    pub primary: Option<Value>,
    pub attributes: &'static [(&'static str, Value)],
}

/// Returns one of [`KINDS`], drawn by weight.
pub fn draw(random: &mut Random) -> &'static Kind {
    let mut drawn = random.below(WEIGHT_SUM);
    for kind in KINDS {
        match drawn.checked_sub(u64::from(kind.weight)) {
            Some(rest) => drawn = rest,
            None => return kind,
        }
    }
    &KINDS[0]
}

/// Sum of all weights.
const WEIGHT_SUM: u64 = {
    let mut sum = 0;
    let mut n = 0;
    while n < KINDS.len() {
        sum += KINDS[n].weight as u64;
        n += 1;
    }
    sum
};

const fn kind(
    id: u64,
    name: &'static str,
    weight: u32,
    primary: Value,
    attributes: &'static [(&'static str, Value)],
) -> Kind {
    Kind { id, name, weight, primary: Some(primary), attributes }
}

const EMAILS: Value = Text(&[
    "2026-03 Newsletter",
    "Webinar Invitation.Reminder 1",
    "Nurture Track A.Email 04",
    "Überraschung: 20 % auf alles",
    "Say \"hello\" to the new wheel",
]);
const CAMPAIGN_RUN: (&str, Value) = ("Campaign Run ID", Number(1000, 99_999));
const CHOICE: (&str, Value) = ("Choice Number", Number(0, 3));
const STEP: (&str, Value) = ("Step ID", Number(10, 5000));
const MAILING: (&str, Value) = ("Mailing ID", Number(10_000, 99_999));
const CLIENT: (&str, Value) = ("User Agent", Browser);
const DEVICE: (&str, Value) = ("Device", Text(&["unknown", "iPhone", "Pixel 8", "iPad"]));
const MOBILE: (&str, Value) = ("Is Mobile Device", Flag);
const PLATFORM: (&str, Value) =
    ("Platform", Text(&["Windows", "macOS", "Android", "iOS", "Linux"]));
const SOURCE: (&str, Value) =
    ("Source", Text(&["Web form fillout", "List import", "SOAP API", "REST API", "Salesforce"]));
const REASON: (&str, Value) = (
    "Reason",
    Text(&[
        "Changed by campaign Scoring.Behaviour",
        "Changed by Smart Campaign OP-Lifecycle.02-MQL action",
        "User changed in lead database C:\\imports\\march.csv",
    ]),
);
const STAGES: Value = Text(&["Anonymous", "Known", "Engaged", "MQL", "SQL", "Opportunity", "Won"]);
const LISTS: Value =
    Text(&["Webinar 2026-03 attendees", "Customers EMEA", "Do not call", "新規リード"]);
const PROGRAMS: Value = Text(&["Webinar 2026-03", "Trade Fair Hannover", "Content Download"]);

/// All types, the most frequent first.
pub const KINDS: &[Kind] = &[
    kind(
        1,
        "Visit Webpage",
        220,
        Page,
        &[
            ("Client IP Address", Address),
            (
                "Query Parameters",
                Text(&["", "utm_source=newsletter", "gclid=Cj0KCQjw&utm_medium=cpc"]),
            ),
            CLIENT,
        ],
    ),
    kind(6, "Send Email", 130, EMAILS, &[CAMPAIGN_RUN, CHOICE, MAILING]),
    kind(7, "Email Delivered", 125, EMAILS, &[CAMPAIGN_RUN, CHOICE, MAILING]),
    kind(
        10,
        "Open Email",
        110,
        EMAILS,
        &[CAMPAIGN_RUN, DEVICE, PLATFORM, STEP, ("Is Bot Activity", Flag)],
    ),
    kind(11, "Click Email", 60, EMAILS, &[CAMPAIGN_RUN, MOBILE, ("Link", Link), CLIENT]),
    kind(
        13,
        "Change Data Value",
        90,
        Text(&["Lead Status", "Company Name", "Country"]),
        &[
            (
                "New Value",
                Text(&["MQL", "Fließgewässer GmbH & Co. KG", "日本", "O'Neill \"Mills\" Ltd."]),
            ),
            ("Old Value", Text(&["Known", "", "unknown"])),
            REASON,
            SOURCE,
        ],
    ),
    kind(
        22,
        "Change Score",
        70,
        Text(&["Lead Score", "Behaviour Score"]),
        &[("Change Value", Text(&["+5", "+10", "-3"])), ("New Value", Number(0, 200)), REASON],
    ),
    kind(
        3,
        "Click Link",
        45,
        Link,
        &[
            ("Client IP Address", Address),
            ("Link ID", Json("{\"id\":12,\"tags\":[\"footer\",\"cta\"]}")),
            ("Query Parameters", Text(&["", "ref=footer"])),
            ("Referrer URL", Link),
            CLIENT,
            ("Webpage ID", Number(1, 400)),
        ],
    ),
    kind(
        2,
        "Fill Out Form",
        35,
        Text(&["Contact us", "Webinar registration"]),
        &[
            ("Client IP Address", Address),
            ("Form Fields", Text(&["a:3:{s:5:\"Email\";s:19:\"someone@example.com\";}", "a:0:{}"])),
            ("Referrer URL", Link),
            CLIENT,
            ("Webpage ID", Number(1, 400)),
        ],
    ),
    kind(24, "Add To List", 30, LISTS, &[SOURCE]),
    kind(
        12,
        "New Lead",
        25,
        Mail,
        &[
            ("Created Date", Text(&["2026-03-02", "2026-03-01"])),
            ("Form Name", Text(&["Contact us", "Webinar registration"])),
            ("Lead Source", Text(&["Web", "Trade fair", "Partner"])),
            ("Source Type", SOURCE.1),
        ],
    ),
    kind(
        104,
        "Change Status In Progression",
        25,
        PROGRAMS,
        &[
            ("Acquired By", Flag),
            ("New Status", Text(&["Registered", "Attended", "No show"])),
            ("Old Status", Text(&["Invited", "Registered"])),
            ("Program Member ID", Number(1, 99_999)),
            REASON,
            ("Success", Flag),
        ],
    ),
    kind(
        46,
        "Interesting Moment",
        20,
        Text(&["Web", "Email", "Milestone"]),
        &[
            ("Date", Text(&["2026-03-02 10:00:00"])),
            (
                "Description",
                Text(&["Visited pricing three times in a week\nand asked for a call back"]),
            ),
            ("Source", Text(&["Scoring.Interesting Moments"])),
        ],
    ),
    kind(
        113,
        "Add To Nurture",
        15,
        PROGRAMS,
        &[("Track ID", Number(1, 9)), ("Track Name", Text(&["Early", "Late"]))],
    ),
    kind(
        101,
        "Change Revenue Stage",
        15,
        Text(&["Lifecycle 2026"]),
        &[
            ("Model ID", Number(1, 4)),
            ("New Stage", STAGES),
            ("Old Stage", STAGES),
            ("SLA Expiration", Text(&[""])),
            REASON,
        ],
    ),
    kind(25, "Remove from List", 12, LISTS, &[SOURCE]),
    kind(
        27,
        "Email Bounced Soft",
        12,
        EMAILS,
        &[
            CAMPAIGN_RUN,
            ("Category", Number(3, 4)),
            ("Details", Text(&["452 4.2.2 mailbox full"])),
            ("Email", Mail),
        ],
    ),
    kind(
        8,
        "Email Bounced",
        8,
        EMAILS,
        &[
            CAMPAIGN_RUN,
            ("Category", Number(1, 2)),
            ("Details", Text(&["550 5.1.1 <user> unknown"])),
            ("Email", Mail),
        ],
    ),
    kind(
        9,
        "Unsubscribe Email",
        8,
        EMAILS,
        &[CAMPAIGN_RUN, ("Client IP Address", Address), ("Referrer URL", Link)],
    ),
    kind(
        110,
        "Call Webhook",
        10,
        Text(&["Enrich company"]),
        &[
            ("Error Type", Number(0, 3)),
            ("Response", Text(&["{\"employees\": 250, \"ok\": true}", ""])),
            ("Webhook", Number(1, 9)),
        ],
    ),
    kind(
        108,
        "Change Segment",
        8,
        Text(&["Industry", "Region"]),
        &[("New Segment ID", Number(1, 40)), ("Segmentation ID", Number(1000, 1009))],
    ),
    kind(
        123,
        "Change Program Member Data",
        8,
        PROGRAMS,
        &[
            ("Attribute Name", Text(&["statusName"])),
            ("New Value", STAGES),
            ("Old Value", STAGES),
            SOURCE,
        ],
    ),
    kind(
        32,
        "Merge Leads",
        4,
        Number(1_000_001, 1_000_400),
        &[
            ("Master Updated", Flag),
            ("Merge IDs", Json("[1000123,1000321]")),
            ("Merge Source", SOURCE.1),
            ("Merged in Sales", Flag),
        ],
    ),
    kind(
        37,
        "Delete Lead",
        3,
        Mail,
        &[("Campaign", Text(&["Clean-up"])), ("Remove From CRM", Flag)],
    ),
    Kind { id: 19, name: "Sync Lead to SFDC", weight: 6, primary: None, attributes: &[] },
    // The customer's own types: every one has an id of its own, from 100000.
    kind(
        100_001,
        "Attended Webinar",
        20,
        Text(&["Steady flow, live"]),
        &[
            ("Minutes", Number(1, 90)),
            ("Questions", Number(0, 4)),
            ("Rating", Json("4.5")),
            ("Platform", PLATFORM.1),
        ],
    ),
    kind(
        100_002,
        "Product Usage",
        18,
        Text(&["wheel-mark-ii"]),
        &[
            ("Plan", Text(&["free", "team", "enterprise"])),
            ("Sessions", Number(1, 40)),
            ("Flags", Json("{\"beta\":true,\"limits\":{\"rpm\":1200}}")),
        ],
    ),
    kind(
        100_017,
        "Support Ticket",
        10,
        Text(&["opened", "solved"]),
        &[
            ("Severity", Number(1, 4)),
            ("Subject", Text(&["It doesn't turn", "Größe der Schaufeln?"])),
        ],
    ),
    // Undocumented types: valid all the same, with topics of their own.
    kind(
        168,
        "Engage Dynamic Chat",
        8,
        Text(&["Pricing bot"]),
        &[("Conversation Status", Text(&["started", "completed"])), ("Document URL", Link)],
    ),
    kind(909, "Something New/Untold (β)", 4, Text(&["?"]), &[("Unheard Of", Json("null"))]),
];
