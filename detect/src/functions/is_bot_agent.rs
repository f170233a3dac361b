//! `is_bot_agent(user_agent)`: whether an agent says of itself that it is a program.

use std::sync::{Arc, LazyLock};

use aho_corasick::AhoCorasick;
use arrow::array::BooleanArray;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::utils::take_function_args;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_STRING;
use datafusion::logical_expr::{ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use super::addresses::{one_text, texts};

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DOC_SECTION_STRING,
        "Whether an agent says of itself that it is a program and no browser or app: a crawler (words that end in bot, crawler or \
         spider; a URL), a library or tool for HTTP, a browser without a screen. Who says so may be trusted to be one; who does not \
         says nothing, and neither does it make anybody harmless: everybody can write any agent. NULL where there is none.",
        "is_bot_agent(user_agent)",
    )
    .with_argument("user_agent", "The column user_agent")
    .with_sql_example("SELECT is_bot_agent('curl/8.5.0'); -- true")
    .build()
});

/// Ends of words that crawlers call themselves.
const CRAWLERS: [&str; 6] = ["bot", "bots", "crawler", "spider", "scraper", "archiver"];
/// What stands in agents of programs, and not in those of browsers and apps.
const PROGRAMS: [&str; 36] = [
    "://",
    "curl/",
    "wget/",
    "libwww-perl",
    "lwp::",
    "python-requests",
    "python-urllib",
    "python-httpx",
    "aiohttp/",
    "httpx/",
    "scrapy",
    "mechanize",
    "go-http-client",
    "java/",
    "jakarta",
    "apache-httpclient",
    "apache-httpasyncclient",
    "ruby",
    "faraday",
    "guzzlehttp",
    "php/",
    "axios/",
    "node-fetch",
    "undici",
    "got (",
    "postmanruntime",
    "insomnia/",
    "restsharp",
    "powershell",
    "headlesschrome",
    "phantomjs",
    "selenium",
    "puppeteer",
    "playwright",
    "colly",
    "slurp",
];

static WORDS: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::builder().ascii_case_insensitive(true).build(CRAWLERS.iter().chain(&PROGRAMS)).ok());

#[derive(Debug, PartialEq, Eq, Hash)]
struct IsBotAgent {
    signature: Signature,
}

/// The function, for a session to register.
pub(super) fn udf() -> ScalarUDF {
    ScalarUDF::new_from_impl(IsBotAgent { signature: one_text() })
}

impl ScalarUDFImpl for IsBotAgent {
    fn name(&self) -> &'static str {
        "is_bot_agent"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [agents] = take_function_args(self.name(), arrays)?;
        let found: BooleanArray = texts(&agents)?.iter().map(|agent| agent.map(is_bot)).collect();
        Ok(ColumnarValue::Array(Arc::new(found)))
    }
}

fn is_bot(agent: &str) -> bool {
    let Some(words) = WORDS.as_ref() else { return false };
    words.find_overlapping_iter(agent).any(|found| {
        // "Cubot" is a make of phones.
        let is_word = || {
            let (before, after) = (&agent.as_bytes()[..found.start()], agent.as_bytes().get(found.end()));
            !after.is_some_and(u8::is_ascii_alphabetic) && !before.to_ascii_lowercase().ends_with(b"cu")
        };
        found.pattern().as_usize() >= CRAWLERS.len() || is_word()
    })
}
