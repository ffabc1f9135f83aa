//! Attributes of the published types of activities. An instance's own answer (`catalog.types_file`) overrides them.
//!
//! Marketo publishes no list of them, only examples: these are the attributes that activities of these types usually
//! carry. An attribute that is missing here is a field nevertheless, by its `dataType`.
//!
//! Confirmed by published texts:
//! - name by name, with the data types: Fill Out Form (Adobe's documentation of `activities/types.json`), Visit Webpage and Send
//!   Email (answers of instances that others have published);
//! - the data types by Adobe's field groups for Marketo's activities (Experience Data Model), which have other names:
//!   Change Score, Change Status In Progression, Merge Leads, Interesting Moment, New Lead except the created date (a
//!   date and time there, a day in Marketo), and the attributes of page and device in Click Link, Unsubscribe Email,
//!   Open Email and Click Email;
//! - the names alone, by a document of Marketo's: `Bot Activity Pattern`.
//!
//! Everything else is unconfirmed, and each type may have more.

use super::{
    ActivityType, AttributeType,
    Kind::{self, Boolean as B, DateTime as D, Integer as I, Number as N, Text as T},
};

pub fn types() -> Vec<ActivityType> {
    let attribute = |(name, kind): &(&str, Kind)| AttributeType {
        name: (*name).into(),
        api_name: None,
        kind: *kind,
    };
    let one = |(id, name, attributes): &(i64, &str, &[(&str, Kind)])| ActivityType {
        id: *id,
        name: (*name).into(),
        attributes: attributes.iter().map(attribute).collect(),
    };
    STANDARD.iter().map(one).collect()
}

const SENT: &[(&str, Kind)] = &[
    ("Campaign Run ID", I),
    ("Choice Number", I),
    ("Has Predictive", B),
    ("Step ID", I),
    ("Test Variant", I),
];
const DELIVERED: &[(&str, Kind)] = &[
    ("Campaign Run ID", I),
    ("Choice Number", I),
    ("Has Predictive", B),
    ("Mailing ID", I),
    ("Step ID", I),
    ("Test Variant", I),
];
const BOUNCE: &[(&str, Kind)] = &[
    ("Campaign Run ID", I),
    ("Category", I),
    ("Choice Number", I),
    ("Details", T),
    ("Email", T),
    ("Has Predictive", B),
    ("Step ID", I),
    ("Subcategory", I),
    ("Test Variant", I),
];
const OPPORTUNITY: &[(&str, Kind)] = &[("Oppty ID", I), ("Role", T), ("Is Primary", B)];
const SALES_EMAIL: &[(&str, Kind)] =
    &[("Artifact ID", I), ("Campaign Run ID", I), ("Sent by", T), ("Source", T)];
const LIST: &[(&str, Kind)] = &[("Source", T)];
const SOCIAL: &[(&str, Kind)] =
    &[("Client IP Address", T), ("User Agent", T), ("Webpage ID", I), ("Referrer URL", T)];

#[rustfmt::skip]
const STANDARD: &[(i64, &str, &[(&str, Kind)])] = &[
    (1, "Visit Webpage", &[("Client IP Address", T), ("Query Parameters", T), ("Referrer URL", T), ("Search Engine", T), ("Search Query", T), ("User Agent", T), ("Webpage URL", T)]),
    (2, "Fill Out Form", &[("Client IP Address", T), ("Form Fields", T), ("Query Parameters", T), ("Referrer URL", T), ("User Agent", T), ("Webpage ID", I)]),
    (3, "Click Link", &[("Client IP Address", T), ("Link ID", T), ("Query Parameters", T), ("Referrer URL", T), ("User Agent", T), ("Webpage ID", I)]),
    (6, "Send Email", SENT),
    (7, "Email Delivered", DELIVERED),
    (8, "Email Bounced", BOUNCE),
    (9, "Unsubscribe Email", &[("Campaign Run ID", I), ("Client IP Address", T), ("Form Fields", T), ("Has Predictive", B), ("Query Parameters", T), ("Referrer URL", T), ("Test Variant", I), ("User Agent", T), ("Webform ID", I), ("Webpage ID", I)]),
    (10, "Open Email", &[("Bot Activity Pattern", T), ("Browser", T), ("Campaign Run ID", I), ("Choice Number", I), ("Device", T), ("Has Predictive", B), ("Is Bot Activity", B), ("Is Mobile Device", B), ("Platform", T), ("Step ID", I), ("Test Variant", I), ("User Agent", T)]),
    (11, "Click Email", &[("Bot Activity Pattern", T), ("Browser", T), ("Campaign Run ID", I), ("Choice Number", I), ("Device", T), ("Is Bot Activity", B), ("Is Mobile Device", B), ("Is Predictive", B), ("Link", T), ("Link ID", T), ("Platform", T), ("Step ID", I), ("Test Variant", I), ("User Agent", T)]),
    (12, "New Lead", &[("Created Date", Kind::Date), ("Form Name", T), ("Lead Source", T), ("List Name", T), ("SFDC Type", T), ("Source Type", T)]),
    (13, "Change Data Value", &[("New Value", T), ("Old Value", T), ("Reason", T), ("Source", T), ("API Method Name", T), ("Modifying User", T), ("Request ID", T)]),
    (19, "Sync Lead to SFDC", &[]),
    (21, "Convert Lead", &[("Assign To", T), ("SFDC Account ID", T), ("SFDC Contact ID", T), ("SFDC Opportunity ID", T)]),
    (22, "Change Score", &[("Change Value", T), ("New Value", I), ("Old Value", I), ("Priority", I), ("Reason", T), ("Relative Score", I), ("Relative Urgency", I), ("Urgency", N)]),
    (23, "Change Owner", &[("New Owner", T), ("Old Owner", T), ("Reason", T)]),
    (24, "Add To List", LIST),
    (25, "Remove from List", LIST),
    (26, "SFDC Activity", &[("Activity Owner", T), ("Description", T), ("Due Date", D), ("Is Task", B), ("Priority", T), ("Status", T), ("Subject", T)]),
    (27, "Email Bounced Soft", BOUNCE),
    (28, "Sync Lead Updates to SFDC", &[("Source", T)]),
    (29, "Delete Lead from SFDC", &[]),
    (30, "SFDC Activity Updated", &[("Activity Owner", T), ("Description", T), ("Due Date", D), ("Is Task", B), ("Priority", T), ("Status", T), ("Subject", T)]),
    (31, "SFDC Merge Leads", &[("Merge IDs", T), ("Merge Fields", T)]),
    (32, "Merge Leads", &[("Master Updated", B), ("Merge Fields", T), ("Merge IDs", T), ("Merge Source", T), ("Merged in Sales", B)]),
    (34, "Add to Opportunity", OPPORTUNITY),
    (35, "Remove from Opportunity", OPPORTUNITY),
    (36, "Update Opportunity", &[("Data Value Changes", T), ("Is Primary", B), ("New Value", T), ("Old Value", T), ("Oppty ID", I)]),
    (37, "Delete Lead", &[("Campaign", T), ("Remove From CRM", B)]),
    (38, "Send Alert", &[("Mailing ID", I), ("Send To List", T), ("Send To Owner", T)]),
    (39, "Send Sales Email", SALES_EMAIL),
    (40, "Open Sales Email", SALES_EMAIL),
    (41, "Click Sales Email", &[("Artifact ID", I), ("Campaign Run ID", I), ("Link", T), ("Sent by", T), ("Source", T)]),
    (42, "Add to SFDC Campaign", &[("Status", T), ("Campaign ID", I)]),
    (43, "Remove from SFDC Campaign", &[("Campaign ID", I)]),
    (44, "Change Status in SFDC Campaign", &[("New Status", T), ("Old Status", T), ("Campaign ID", I)]),
    (45, "Receive Sales Email", &[("Artifact ID", I), ("Received by", T), ("Source", T)]),
    (46, "Interesting Moment", &[("Date", D), ("Description", T), ("Source", T)]),
    (47, "Request Campaign", &[("Source", T), ("Campaign ID", I)]),
    (48, "Sales Email Bounced", &[("Artifact ID", I), ("Category", I), ("Details", T), ("Email", T), ("Subcategory", I)]),
    (100, "Change Lead Partition", &[("New Partition ID", I), ("Old Partition ID", I), ("Reason", T)]),
    (101, "Change Revenue Stage", &[("Model ID", I), ("New Stage", T), ("New Stage ID", I), ("Old Stage", T), ("Old Stage ID", I), ("Reason", T), ("SLA Expiration", D)]),
    (102, "Change Revenue Stage Manually", &[("Model ID", I), ("New Stage", T), ("New Stage ID", I), ("Old Stage", T), ("Old Stage ID", I), ("Reason", T)]),
    (104, "Change Status In Progression", &[("Acquired By", B), ("New Status", T), ("New Status ID", I), ("Old Status", T), ("Old Status ID", I), ("Program Member ID", I), ("Reason", T), ("Registration Code", T), ("Success", B), ("Webinar URL", T)]),
    (106, "Enrich with Data.com", &[("Reason", T), ("Status", T)]),
    (108, "Change Segment", &[("New Segment ID", I), ("Segmentation ID", I)]),
    (110, "Call Webhook", &[("Error Type", I), ("Response", T), ("Webhook", I)]),
    (111, "Send Forward to Friend Email", &[("Campaign Run ID", I), ("Mailing ID", I), ("Recipient", T)]),
    (112, "Receive Forward to Friend Email", &[("Campaign Run ID", I), ("Mailing ID", I), ("Sender", T)]),
    (113, "Add To Nurture", &[("Track ID", I), ("Track Name", T)]),
    (114, "Change Nurture Track", &[("New Track ID", I), ("Previous Track ID", I), ("Track Name", T)]),
    (115, "Change Nurture Cadence", &[("New Nurture Cadence", T), ("Previous Nurture Cadence", T)]),
    (123, "Change Program Member Data", &[("Attribute Name", T), ("New Value", T), ("Old Value", T), ("Reason", T), ("Source", T)]),
    (131, "Fill Out Facebook Lead Ads Form", &[("Ad ID", T), ("Ad Name", T), ("Form Fields", T), ("Page ID", T), ("Lead Ads ID", T)]),
    (132, "Click RTP Call to Action", &[("Campaign", T), ("Client IP Address", T), ("Link", T), ("User Agent", T)]),
    (133, "Click Predictive Content", &[("Client IP Address", T), ("Content Title", T), ("Content URL", T), ("User Agent", T)]),
    (145, "Push Lead to Marketo", &[("API Method Name", T), ("Lookup Field", T), ("Program Name", T), ("Reason", T), ("Source", T)]),
    (147, "Fill Out Linked Lead Gen Form", &[("Account Name", T), ("Campaign Name", T), ("Creative ID", T), ("Form Fields", T)]),
    (300, "Sync Lead to Microsoft", &[]),
    (400, "Share Content", SOCIAL),
    (401, "Vote in Poll", SOCIAL),
    (402, "Sign Up for Referral Offer", SOCIAL),
    (403, "Achieve Goal In Referral", SOCIAL),
    (405, "Click Shared Link", SOCIAL),
    (406, "Win Sweepstakes", SOCIAL),
    (407, "Enter Sweepstakes", SOCIAL),
    (408, "Disqualify Sweepstakes", SOCIAL),
    (409, "Earn Entry In Social App", SOCIAL),
    (410, "Refer to Social App", SOCIAL),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::decode::Catalog;

    #[test]
    fn each_type_that_adobe_documents_is_described_once() {
        let described = STANDARD.iter().map(|(id, name, _)| (*id, *name));
        assert!(described.eq(Catalog::documented().iter().copied()));
    }
}
