//! Replays of known incidents at their real rates. What was published is told with its source; what nobody published is a
//! choice of ours, told as `assumed`, and no fact of the incident. They run on the simulated shop, on the route that is
//! nearest to the real one.

use super::plan::{Agent, Order, Plan, Turns};

/// Rates are mean hits, records over the window, unless requests were published.
pub const ALL: &[Plan] = &[
    Plan {
        name: "twitter-2021",
        summary: "200 M accounts looked up by e-mail address or phone number",
        published: "200 M records, June 2021 to January 2022 (at most 214 days): 10.8 hits/s; lookup in the sign-in flow \
                    (boingboing.net 2022-08-09, extension13.com 2023-01-06)",
        assumed: "the identifier stands in the query, 1,000 addresses in turn, 25 % hits",
        taken_then: Some(200_000_000),
        target: "/v1/contacts?email={email}",
        route: "/v1/contacts",
        rate: 10.8 / 0.25,
        hit_ratio: 0.25,
        identities: 1_000,
        agent: Agent::App,
        catalogue: 1_000_000_000,
        ..Plan::BASE
    },
    Plan {
        name: "twitter-2021-unlogged",
        summary: "the same with the identifier in the body, absent from the log",
        published: "as twitter-2021; that the identifier stood in the body is likely and unverified",
        assumed: "1,000 addresses in turn, 25 % hits answered like misses",
        taken_then: Some(200_000_000),
        method: "POST",
        target: "/v1/signup/checks",
        route: "/v1/signup/checks",
        logged: false,
        rate: 10.8 / 0.25,
        hit_ratio: 0.25,
        soft_misses: true,
        identities: 1_000,
        agent: Agent::App,
        catalogue: 1_000_000_000,
        ..Plan::BASE
    },
    Plan {
        name: "twitter-2019",
        summary: "17 M accounts matched by uploading generated phone numbers",
        published: "17 M matches in about two months: 3.2 hits/s; shuffled numbers, batch upload of contacts \
                    (internetprotocol.co 2019-12-26)",
        assumed: "one address, 1,000 numbers an upload, 10 % hits, the numbers in the body",
        taken_then: Some(17_000_000),
        method: "POST",
        target: "/v1/contacts/uploads",
        route: "/v1/contacts/uploads",
        logged: false,
        rate: 0.032,
        batch: 1_000,
        hit_ratio: 0.1,
        order: Order::Random,
        agent: Agent::App,
        catalogue: 1_000_000_000,
        ..Plan::BASE
    },
    Plan {
        name: "tmobile-2022",
        summary: "37 M accounts through one API",
        published: "37 M records, 2022-11-25 to 2023-01-05 (41 days): 10.4/s; a single API (SEC 8-K 0001193125-23-010949)",
        assumed: "one address, in sequence, the id at the end of the path",
        taken_then: Some(37_000_000),
        rate: 10.4,
        ..Plan::BASE
    },
    Plan {
        name: "tmobile-2022-100",
        summary: "the same from a hundred addresses",
        published: "as tmobile-2022",
        assumed: "a hundred addresses in turn, shuffled",
        taken_then: Some(37_000_000),
        rate: 10.4,
        identities: 100,
        order: Order::Random,
        ..Plan::BASE
    },
    Plan {
        name: "optus-2022",
        summary: "9.5 M customers, ids cycled, addresses changing",
        published: "9.5 M records in three days: 36.7/s; a numeric id in the URL of a dormant host without authentication, \
                    changing addresses (cpomagazine.com, eftm.com 2024-06, perthnow.com.au)",
        assumed: "500 addresses in turn; the route is in use otherwise, its host is not in the log",
        taken_then: Some(9_500_000),
        target: "/v1/users/{id}/addresses",
        route: "/v1/users/{id}/addresses",
        rate: 36.7,
        identities: 500,
        ..Plan::BASE
    },
    Plan {
        name: "dell-2024",
        summary: "49 M orders by generated service tags, through fake partner accounts",
        published: "49 M records of 50 M requests, 5,000 requests a minute, several partner accounts (fgctechnology.co.uk)",
        assumed: "four addresses in turn",
        taken_then: Some(49_000_000),
        target: "/v1/shipments/{tag}/events",
        route: "/v1/shipments/{id}/events",
        rate: 5_000.0 / 60.0,
        hit_ratio: 0.98,
        identities: 4,
        ..Plan::BASE
    },
    Plan {
        name: "trello-2024",
        summary: "15.1 M members matched from 500 M e-mail addresses",
        published: "15,115,516 records of 500 M lookups (3 % hits), the address in the path, proxies at a constant rate under \
                    the limit (aptori.dev)",
        assumed: "100 lookups/s, a pool of 10,000 addresses",
        taken_then: Some(15_115_516),
        target: "/v1/members/{email}",
        route: "/v1/members/{id}",
        rate: 100.0,
        hit_ratio: 0.03,
        identities: 10_000,
        turns: Turns::Drawn,
        agent: Agent::Browsers,
        catalogue: 500_000_000,
        ..Plan::BASE
    },
    Plan {
        name: "authy-2024",
        summary: "33.4 M phone numbers confirmed",
        published: "33,420,546 records, a list of phone numbers, no authentication (escape.tech)",
        assumed: "20 lookups/s, one address, 20 % hits",
        taken_then: Some(33_420_546),
        target: "/v1/contacts?phone={phone}",
        route: "/v1/contacts",
        rate: 20.0,
        hit_ratio: 0.2,
        agent: Agent::Tool,
        catalogue: 500_000_000,
        ..Plan::BASE
    },
    Plan {
        name: "duolingo-2023",
        summary: "2.6 M accounts looked up by e-mail address",
        published: "2.6 M records, GET with the address in the query (lab.wallarm.com)",
        assumed: "5 lookups/s, ten addresses in turn, 10 % hits",
        taken_then: Some(2_600_000),
        target: "/v1/contacts?email={email}",
        route: "/v1/contacts",
        rate: 5.0,
        hit_ratio: 0.1,
        identities: 10,
        agent: Agent::Tool,
        catalogue: 100_000_000,
        ..Plan::BASE
    },
    Plan {
        name: "facebook-2019",
        summary: "533 M accounts matched through the contact importer",
        published: "533 M records in about 490 days: 12.6 hits/s; contact search, then batch import, held below the limit \
                    (archyde.com, gdprfine.com)",
        assumed: "50 numbers an upload in the body, 20 % hits, 100 addresses in turn",
        taken_then: Some(533_000_000),
        method: "POST",
        target: "/v1/contacts/uploads",
        route: "/v1/contacts/uploads",
        logged: false,
        rate: 1.26,
        batch: 50,
        hit_ratio: 0.2,
        identities: 100,
        order: Order::Random,
        agent: Agent::App,
        catalogue: 3_000_000_000,
        ..Plan::BASE
    },
    Plan {
        name: "whatsapp-2025",
        summary: "3.5 billion accounts confirmed, as researchers did",
        published: "27,800 numbers/s from five accounts on one server, generated numbers (arxiv.org 2511.20252)",
        assumed: "the number stands in the query, one request a number, 30 % hits",
        taken_then: Some(3_500_000_000),
        target: "/v1/contacts?phone={phone}",
        route: "/v1/contacts",
        rate: 27_800.0,
        hit_ratio: 0.3,
        identities: 5,
        agent: Agent::Tool,
        catalogue: 30_000_000_000,
        ..Plan::BASE
    },
    Plan {
        name: "parler-2021",
        summary: "posts read by number by a crowd of archivists",
        published: "99 % of posts, about five days, numbers that count up, many addresses (striped-bass.com, quoting Ars Technica)",
        assumed: "100 posts/s, 300 addresses, a block of numbers each, accounts instead of posts",
        taken_then: None,
        rate: 100.0,
        identities: 300,
        turns: Turns::Blocks,
        agent: Agent::Tool,
        ..Plan::BASE
    },
    Plan {
        name: "venmo-2019",
        summary: "a public feed, polled",
        published: "7 M records in 2019, 20 transactions a response, one request in 30 s an address (slides.com/salmon/venmo)",
        assumed: "one address",
        taken_then: Some(7_000_000),
        target: "/v1/products?sort=popular&limit=20",
        route: "/v1/products",
        rate: 1.0 / 30.0,
        batch: 20,
        agent: Agent::Tool,
        ..Plan::BASE
    },
    Plan {
        name: "life360-2024",
        summary: "442,519 accounts, from what the login endpoint told",
        published: "442,519 records in March 2024, the response disclosed name and number (paubox.com)",
        assumed: "one lookup/s, the e-mail address in the query, one address, 10 % hits",
        taken_then: Some(442_519),
        target: "/v1/contacts?email={email}",
        route: "/v1/contacts",
        rate: 1.0,
        hit_ratio: 0.1,
        agent: Agent::App,
        ..Plan::BASE
    },
];

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Plan> {
    ALL.iter()
}
