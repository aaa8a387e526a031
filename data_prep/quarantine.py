"""Records that are set aside, and why; filters have reasons of their own besides."""

REASONS = {
    "broken_json": "the line or object is no JSON",
    "invalid_utf8": "bytes that are no UTF-8: give their encoding, such as encoding=cp1252",
    "line_too_long": "the line is longer than limits.record_bytes",
    "wrong_type": "the record or a field has another type than it must",
    "missing_text": "no field text: fields.text of the source names the one that holds it",
    "empty_text": "text holds only white space",
    "missing_url": "no field url: fields.url of the source names the one that holds it",
    "invalid_url": "the URL cannot be parsed, or has no public host",
    "refused_url_scheme": "the URL is neither http nor https",
    "unknown_country": "country is neither an ISO 3166 code nor an English name",
    "unknown_continent": "continent is none of the five",
    "host_blocked": "the host is in a list of annotate.block_hosts",
    "host_not_allowed": "the host is not in annotate.allow_hosts",
    "opted_out": "the page is in a list of annotate.opt_out",
    "no_country": "neither field, outlet table nor national domain tells the country",
    "country_disagrees": "field, outlet table and national domain name different countries",
    "continent_disagrees": "continent is not that of the country",
    "country_not_listed": "the country is not in annotate.countries=[...]",
    "duplicate_id": "an earlier record has the same id",
    "duplicate_content": "an earlier record has the same text",
    "truncated_file": "the file ends before its data do",
    "damaged_file": "the file's bytes are not as its format says",
    "empty_file": "the file holds nothing",
    "record_too_long": "the record is longer than limits.record_bytes",
    "decompression_bomb": "the data expand beyond limits.expansion",
    "nested_compression": "compressed data inside compressed data",
    "unknown_format": "the file is of a format that is not read",
    "broken_header": "the header of the columns cannot be used",
    "broken_csv": "the row has not as many values as the header, or is no CSV",
    "unsafe_member": "a member of an archive is a link, a device or leads out of it",
    "duplicate_member": "two members of an archive are the same field of a record",
    "broken_warc": "bytes of a web archive that are of no record",
    "segmented_record": "a segment of a web archive's record: segments are not joined",
    "no_html_page": "a response that is no page: another status, or not HTML",
    "unreadable_body": "a page whose body is not encoded as its header says, or not as we can read",
    "no_main_text": "a page whose text cannot be extracted",
    "language_not_listed": "the language is not in annotate.languages=[...]",
    "language_uncertain": "the language's score is below annotate.language_score",
    "invalid_quality": "quality is not within 0 and 100",
    "too_short": "the text, as cleaned, has fewer characters than clean.min_characters",
    "too_long": "the text, as cleaned, has more characters than clean.max_characters",
    "now_mask": "the text has NOW's @ @ @ @ @ @ @ @ @ @ for words withheld",
}
# What is wrong with a file and not with a record of it: what stands behind is lost, too.
FILE_REASONS = frozenset((
    "truncated_file", "damaged_file", "empty_file", "decompression_bomb", "nested_compression",
    "unknown_format", "broken_header",
))  # fmt: skip
# Why a page that is kept may end early, beside what WARC-Truncated tells: its body ends within its
# coding, chunks or compressed data, or before its Content-Length and its last tag.
CUT_BODY = "body"


class Rejected(Exception):
    """A record that cannot be used; `reason` is a key of REASONS, or `<filter>.<rule>`."""

    def __init__(self, reason: str, detail: str):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
