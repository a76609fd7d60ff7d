"""Which of the modes of :data:`tests.twisting.MODES` a sync gets through, and which of them run every time."""

USABLE: frozenset[str] = frozenset(
    """
    body-cut content-range-star gzips retry-after-seconds case-blind-order chunked clock-ahead closes-at-once
    delimiter-ignored empty-truncated-page encoding-type-ignored
    etag-no-md5 etag-weak delete-not-quiet etag-not-hex etag-odd
    etag-short etag-unquoted etag-upper-case files-first-order folder-order
    gunzips ignores-if-match informational key-twice late-blanks
    late-error-first list-attributes list-encoding-by-reference list-hidden-row list-no-etag
    list-padded list-prefixed list-spaced lost-reply lost-reply-500
    max-keys-ignored never-keeps-alive no-copy no-delete-objects-404 no-delete-objects-405
    no-delete-objects-501 no-list-parts no-list-parts-405 no-order no-start-after
    date-9999 no-tagging not-truncated-with-token pages-overlap refuses-unknown-headers refuses-unknown-headers-400
    region-in-text region-underscore reverse-order slow-down-often small-pages
    start-after-ignored start-after-inclusive start-after-with-token status-408 status-425
    status-429 status-500 status-502 status-503 status-504
    status-520 status-521 status-522 status-523 status-524
    status-525 status-526 status-527 time-beyond time-beyond-header
    time-whole-seconds time-with-offset trailers-overwrite utf16-order wants-content-md5
    wants-only-md5
    """.split()
)
"""With these everything arrives."""

REFUSED: frozenset[str] = frozenset(
    """
    version-1-only page-repeated token-repeated truncated-without-token list-cut
    list-html list-empty list-bare-error size-negative size-missing
    size-huge time-missing key-empty list-utf16 list-doctype
    list-deep content-range-wrong content-range-missing content-range-lies total-wrong
    ignores-range range-short body-short flips-a-bit flips-a-bit-up
    get-html vanishes archived always-408 always-425
    always-429 always-500 always-502 always-503 always-504
    always-520 always-521 always-522 always-523 always-524
    always-525 always-526 always-527 redirect-301 redirect-302
    redirect-303 redirect-307 redirect-308 redirect-without-location region-in-unknown-words
    region-hostile expired-once denied message-forges
    message-huge endless-headers endless-header-line endless-reason endless-informational
    endless-trailers endless-extension endless-body not-http drips
    late-error late-cut late-nothing late-html delete-bare-error
    delete-cut delete-html delete-empty delete-another-key delete-refused-each
    no-multipart etag-missing
    """.split()
)
"""With these a run fails, and says why."""

ALWAYS: frozenset[str] = frozenset(
    """
    folder-order files-first-order utf16-order no-order start-after-ignored
    start-after-inclusive empty-truncated-page pages-overlap refuses-unknown-headers no-delete-objects-405
    late-error late-error-first delete-bare-error delete-html wants-content-md5
    lost-reply etag-no-md5 etag-not-hex content-range-wrong flips-a-bit
    status-522 page-repeated list-html region-in-text
    """.split()
)
"""Those that run every time; the others run with the long tests."""
