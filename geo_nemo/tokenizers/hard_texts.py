"""Texts on which two forms of one tokenizer are likely to differ, if they do."""

# Control tokens' names, white space, digits, marks, scripts without spaces, bytes of every length.
HARD_TEXTS = (
    "", " ", "  ", "\n\n", " \n \n\n  x\t\r\n", " It's I'LL we'd DON'T 'tis",
    " 1 12 123 1234567,8.9",
    " naïve Łódź ﬁ ① ½ é e\u0301 İstanbul ß", " 東京は日本の首都 한국어 ไทย עברית العربية हिन्दी",
    " 😀👨‍👩‍👧‍👦🇰🇪 \u200f\u202e\u200b\ufeff\u00a0\u3000x", " <s></s><unk><pad> <|endoftext|>",
    " <|begin_of_text|><|end_of_text|> [CLS] [SEP] <0x0A> \u2581a \u2581\u2581",
    " a" * 300, " " * 300 + "a", "a" * 300, "\x00\x01\x7f\x80", " https://a.b/c?d=e&f#g user@h.com",
    " HelloWorld camelCase SCREAMING_CASE snake_case kebab-case", " @ @ @ @ @ @ @ @ @ @",
    "URL: bbc.co.uk\nCOUNTRY: gb\nCONTINENT: Europe\n\nTITLE: x\n\nCONTENT: y",
)  # fmt: skip
