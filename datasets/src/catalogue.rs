//! The simulated site: its routes, the ids in them, and the pages that fetch several at once. A shop whose web pages
//! and app call one JSON API; ids stand at the start, in the middle and at the end of paths and in queries.

/// One route and how it is usually answered.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// Path and query with placeholders, which [`crate::ids::Ids::expand`] fills.
    pub(crate) target: &'static str,
    pub(crate) status: u16,
    /// The median size of the answer.
    pub(crate) bytes: u32,
    /// Whether a browser may hold it in its cache (304).
    pub(crate) cacheable: bool,
}

impl Request {
    /// The usual answer, now and then another: from the cache, given up by the client, failed in the server. `roll` is one of 0..100,000.
    pub(crate) fn answer(&self, roll: i32) -> u16 {
        match roll {
            0..100 => 499,
            100..130 => 502,
            130..150 => 500,
            150..25_000 if self.cacheable => 304,
            _ => self.status,
        }
    }
}

const fn get(target: &'static str, bytes: u32) -> Request {
    answer("GET", target, 200, bytes)
}

const fn answer(method: &'static str, target: &'static str, status: u16, bytes: u32) -> Request {
    Request { method, target, status, bytes, cacheable: false }
}

const fn file(target: &'static str, bytes: u32) -> Request {
    Request { method: "GET", target, status: 200, bytes, cacheable: true }
}

/// What a person looks at: the requests that one look makes.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its address in a browser, which later requests carry as referer.
    pub(crate) path: &'static str,
    /// Asked for by browsers only: the page and its files.
    pub(crate) web: &'static [Request],
    /// Asked for by browsers and by the app.
    pub(crate) api: &'static [Request],
    /// Asked for once per item of a list view: 20 to 50 consecutive products.
    pub(crate) per_item: Option<&'static Request>,
}

const fn page(path: &'static str, web: &'static [Request], api: &'static [Request]) -> Page {
    Page { path, web, api, per_item: None }
}

/// A product's page, which crawlers read.
pub(crate) static PRODUCT_PAGE: Request = get("/products/{product}", 14_000);
/// A product.
pub(crate) static PRODUCT: Request = get("/v1/products/{product}", 2_400);
/// What a campaign enumerates: people ask for it too, their own and those of authors of reviews.
pub(crate) static USER: Request = get("/v1/users/{account}", 620);
/// The health probe's request.
pub(crate) static HEALTH: Request = get("/healthz", 15);
/// What a crawler reads now and then.
pub(crate) static ROBOTS: Request = get("/robots.txt", 230);
/// What a crawler reads when a product's page is gone.
pub(crate) static RETIRED_PAGE: Request = answer("GET", "/products/{retired}", 404, 0);
/// What the partner reads each night.
pub(crate) static ORDER: Request = get("/v1/orders/{order}", 1_300);

/// Where people sign in.
pub(crate) const LOGIN_PATH: &str = "/v1/login";
/// Signing in, the password that was not it, and asking for another.
pub(crate) static LOGIN: Page = page("/login", &[], &[answer("POST", LOGIN_PATH, 200, 410), get("/v1/me", 620)]);
pub(crate) static LOGIN_TYPO: Page = page("/login", &[], &[answer("POST", LOGIN_PATH, 401, 0)]);
pub(crate) static LOGIN_RESET: Page = page("/login", &[], &[answer("POST", "/v1/password-resets", 202, 40)]);

/// A page and how often it is chosen, relative to the others of its list.
pub(crate) type Weighted = (u32, Page);

/// What anybody looks at.
pub(crate) static PUBLIC: &[Weighted] = &[
    (
        14,
        page(
            "/",
            &[get("/", 9_800), file("/static/app.4f1c.css", 48_000), file("/static/app.9b2e.js", 310_000)],
            &[get("/v1/banners", 900), get("/v1/products?sort=popular&limit=20", 21_000)],
        ),
    ),
    (
        34,
        page(
            "/products/{product}",
            &[get("/products/{product}", 14_000), file("/images/products/{product}.webp", 52_000)],
            &[get("/v1/products/{product}", 2_400), get("/v1/products/{product}/reviews?limit=10", 5_200)],
        ),
    ),
    (6, page("/products/{product}", &[], &[get("/v1/stock?sku={product}&store={store}", 120)])),
    (
        10,
        page(
            "/c/{category}",
            &[get("/c/{category}", 11_000)],
            &[get("/v1/categories/{category}/products?page={page}&limit=24", 24_000)],
        ),
    ),
    (9, page("/search?q={word}", &[get("/search?q={word}", 8_800)], &[get("/v1/search?q={word}&page={page}", 12_000)])),
    (
        3,
        page(
            "/products/{product}",
            &[],
            &[
                get("/v1/products/{product}/reviews?page={page}&limit=20", 9_900),
                get("/v1/users/{author}", 620),
                file("/{author}/avatar.webp", 6_100),
            ],
        ),
    ),
    (
        3,
        page(
            "/stores/{store}",
            &[get("/stores/{store}", 7_700)],
            &[get("/v1/stores/nearby?lat=52.5{store}&lon=13.4", 3_100), get("/v1/stores/{store}/opening-hours", 380)],
        ),
    ),
    (3, page("/compare", &[get("/compare", 6_400)], &[get("/v1/prices?ids={basket}", 290)])),
    (5, page("/cart", &[], &[answer("POST", "/v1/carts/{cart}/items", 201, 330), get("/v1/carts/{cart}", 1_500)])),
    (
        1,
        page(
            "/",
            &[answer("GET", "/apple-touch-icon.png", 404, 0)],
            &[answer("GET", "/v1/products/{retired}", 404, 0)],
        ),
    ),
    (
        1,
        Page {
            path: "/c/{category}",
            web: &[get("/c/{category}", 11_000)],
            api: &[get("/v1/categories/{category}/products?page={page}&limit=50", 3_900)],
            per_item: Some(&PRODUCT),
        },
    ),
];

/// What people look at once they are signed in, beside the public pages.
pub(crate) static OWN: &[Weighted] = &[
    (
        8,
        page(
            "/account",
            &[get("/account", 7_100)],
            &[get("/v1/users/{account}", 620), get("/v1/users/{account}/addresses", 540)],
        ),
    ),
    (
        10,
        page(
            "/account/orders",
            &[],
            &[
                get("/v1/users/{account}/orders?limit=20", 8_000),
                get("/v1/orders/{order}", 1_300),
                get("/v1/orders/{order}/items", 2_100),
            ],
        ),
    ),
    (2, page("/account/orders", &[], &[get("/v1/invoices?order_id={order}", 38_000)])),
    (4, page("/account/orders", &[], &[get("/v1/shipments/{shipment}/events", 1_100)])),
    (
        3,
        page(
            "/messages",
            &[get("/messages", 6_900)],
            &[get("/v1/conversations/{conversation}/messages?limit=50", 6_300)],
        ),
    ),
    (
        4,
        page(
            "/favourites",
            &[],
            &[
                answer("PUT", "/v1/users/{account}/favourites/{product}", 204, 0),
                get("/v1/users/{account}/favourites", 2_900),
            ],
        ),
    ),
    (
        2,
        page(
            "/checkout",
            &[get("/checkout", 8_200)],
            &[answer("POST", "/v1/carts/{cart}/checkout", 201, 700), answer("POST", "/v1/payments", 201, 260)],
        ),
    ),
    (1, page("/account", &[], &[answer("PATCH", "/v1/users/{account}", 200, 620)])),
    (6, page("/", &[], &[get("/v1/notifications?unread=true", 800)])),
    (1, page("/", &[], &[answer("POST", "/v1/logout", 204, 0)])),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ids;
    use std::collections::HashSet;

    #[test]
    fn every_template_can_be_filled() {
        let pages = PUBLIC.iter().chain(OWN).map(|(_, page)| page).chain([&LOGIN, &LOGIN_TYPO, &LOGIN_RESET]);
        let mut routes = HashSet::new();
        for page in pages {
            Ids::default().expand(page.path, &mut Vec::new());
            assert!(!page.api.is_empty(), "the app has nothing to ask for on {}", page.path);
            for request in page.web.iter().chain(page.api) {
                let mut out = Vec::new();
                Ids::default().expand(request.target, &mut out); // asserts that each placeholder is known
                assert!(!out.contains(&b'{') && !out.contains(&b' '), "{}", request.target);
                routes.insert((request.method, request.target.split('?').next()));
            }
        }
        assert!((30..=50).contains(&routes.len()), "{} routes", routes.len());
    }
}
