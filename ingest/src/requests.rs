//! Builds one batch of the table `requests` from rows.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray, RecordBatch, TimestampMicrosecondArray, UInt64Array};
use arrow::buffer::Buffer;
use arrow::datatypes::{Float64Type, UInt16Type, UInt32Type, UInt64Type};

use crate::identity::Identity;
use crate::route::{Scratch, Templates, routed};
use crate::row::Row;
use crate::table::{columns, schema};
use crate::validity::Validity;
use crate::views::TextColumns;

/// Columns of `requests` while they fill.
pub(crate) struct RequestBuilder<'i> {
    identity: &'i Identity,
    templates: Option<&'i Templates>,
    /// Numbered as in the table; those of other types stay empty.
    text: TextColumns,
    ts: Vec<i64>,
    offset: Vec<u64>,
    records: Numbers<UInt32Type>,
    status: Numbers<UInt16Type>,
    rpc_status: Numbers<UInt16Type>,
    bytes_in: Numbers<UInt64Type>,
    bytes_out: Numbers<UInt64Type>,
    duration_ms: Numbers<Float64Type>,
    scratch: Scratch,
    client: String,
}

impl<'i> RequestBuilder<'i> {
    /// For up to `rows` lines of `block`.
    pub(crate) fn new(block: Buffer, rows: usize, identity: &'i Identity, templates: Option<&'i Templates>) -> Self {
        Self {
            identity,
            templates,
            text: TextColumns::new(block, schema().fields().len(), rows),
            ts: Vec::with_capacity(rows),
            offset: Vec::with_capacity(rows),
            records: Numbers::new(rows),
            status: Numbers::new(rows),
            rpc_status: Numbers::new(rows),
            bytes_in: Numbers::new(rows),
            bytes_out: Numbers::new(rows),
            duration_ms: Numbers::new(rows),
            scratch: Scratch::default(),
            client: String::new(),
        }
    }

    /// Adds one line's row. What stands in the block is pointed at, the rest copied.
    pub(crate) fn push(&mut self, row: &mut Row<'_>, line: &str, offset: u64) {
        let at = self.ts.len();
        self.ts.push(row.ts);
        self.offset.push(offset);
        self.status.set(at, row.status);
        self.rpc_status.set(at, row.rpc_status);
        self.bytes_in.set(at, row.bytes_in);
        self.bytes_out.set(at, row.bytes_out);
        self.duration_ms.set(at, row.duration_ms);

        if let Some(forwarded) = row.text.forwarded_for {
            row.extra.text("x_forwarded_for", forwarded);
        }
        let ip = self.identity.client_ip(row);
        let client = self.identity.client(row, ip, &mut self.client);
        let text = &mut self.text;
        text.set(columns::CLIENT_IP, ip);
        if ip.is_some_and(|ip| std::ptr::eq(ip, client)) {
            text.share(columns::CLIENT_IP, columns::CLIENT);
        } else {
            text.set(columns::CLIENT, Some(client));
        }
        text.set(columns::USER, row.text.user);
        text.set(columns::SESSION, row.text.session);
        text.set(columns::REQUEST_ID, row.text.request_id);
        text.set(columns::METHOD, row.text.method);
        text.set(columns::SCHEME, row.text.scheme);
        text.set(columns::PROTOCOL, row.text.protocol);
        text.set(columns::REFERER, row.text.referer);
        text.set(columns::USER_AGENT, row.text.user_agent);
        if let Some(host) = row.text.host {
            text.set(columns::HOST, Some(&lower(host)));
        }
        if let Some(path) = row.text.path {
            let routed = routed(self.templates, row.text.host, path, row.text.query, &mut self.scratch);
            text.set(columns::PATH, Some(path));
            text.set(columns::QUERY, row.text.query);
            if std::ptr::eq(routed.route, path) {
                text.share(columns::PATH, columns::ROUTE);
            } else {
                text.set(columns::ROUTE, Some(routed.route));
            }
            text.set(columns::OBJECT, routed.object);
            self.records.set(at, routed.records);
        }
        text.set(columns::RAW, Some(line));
        text.set(columns::EXTRA, row.extra.finish());
        text.next_row();
    }

    /// The batch; `source` is the file's name.
    pub(crate) fn finish(mut self, source: &str) -> RecordBatch {
        let rows = self.ts.len();
        self.text.fill(columns::SOURCE, source);
        let mut arrays = self.text.finish();
        arrays[columns::TS] = Arc::new(TimestampMicrosecondArray::from(self.ts).with_timezone("UTC"));
        arrays[columns::OFFSET] = Arc::new(UInt64Array::from(self.offset));
        arrays[columns::RECORDS] = self.records.finish(rows);
        arrays[columns::STATUS] = self.status.finish(rows);
        arrays[columns::RPC_STATUS] = self.rpc_status.finish(rows);
        arrays[columns::BYTES_IN] = self.bytes_in.finish(rows);
        arrays[columns::BYTES_OUT] = self.bytes_out.finish(rows);
        arrays[columns::DURATION_MS] = self.duration_ms.finish(rows);
        RecordBatch::try_new(schema(), arrays).expect("each column has the table's type and one value a row")
    }
}

/// Host names are compared without case.
fn lower(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// A column of numbers; rows that do not mention it are NULL.
struct Numbers<T: ArrowPrimitiveType> {
    /// Empty until the first number, then as long as the batch can become.
    values: Vec<T::Native>,
    valid: Validity,
    capacity: usize,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    fn new(capacity: usize) -> Self {
        Self { values: Vec::new(), valid: Validity::default(), capacity }
    }

    #[inline]
    fn set(&mut self, row: usize, value: Option<T::Native>) {
        let Some(value) = value else { return };
        if self.values.is_empty() {
            self.values = vec![T::Native::default(); self.capacity];
            self.valid = Validity::new(self.capacity);
        }
        self.values[row] = value;
        self.valid.set(row);
    }

    fn finish(mut self, rows: usize) -> ArrayRef {
        if self.values.is_empty() {
            return Arc::new(PrimitiveArray::<T>::new_null(rows));
        }
        self.values.truncate(rows);
        Arc::new(PrimitiveArray::<T>::new(self.values.into(), self.valid.finish(rows)))
    }
}
