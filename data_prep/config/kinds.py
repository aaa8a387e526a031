"""What users may bring to a preparation, and what there is of it."""

from geo_nemo.config.plugins import Kind

_ANNOTATE, _CLEAN, _READ = "data_prep.annotate", "data_prep.clean", "data_prep.read.formats"
ANNOTATORS = Kind(
    "annotator",
    "geo_nemo.annotators",
    {
        "license": f"{_ANNOTATE}.license:License",
        "toxicity": f"{_ANNOTATE}.toxicity:Toxicity",
    },
    methods=("__call__",),
)
FILTERS = Kind(
    "filter",
    "geo_nemo.filters",
    {
        "gopher_quality": f"{_CLEAN}.gopher:GopherQuality",
        "gopher_repetition": f"{_CLEAN}.gopher:GopherRepetition",
        "c4": f"{_CLEAN}.c4:C4",
        "fineweb": f"{_CLEAN}.fineweb:FineWeb",
    },
    methods=("__call__",),
)
READERS = Kind(
    "reader",
    "geo_nemo.readers",
    {
        "jsonl": f"{_READ}:JsonLines",
        "parquet": f"{_READ}:Parquet",
        "arrow": f"{_READ}:Arrow",
        "orc": f"{_READ}:Orc",
        "csv": f"{_READ}:Csv",
        "webdataset": f"{_READ}:WebDataset",
        "warc": f"{_READ}:Warc",
        "wet": f"{_READ}:Wet",
        "arc": f"{_READ}:Arc",
        "html": f"{_READ}:Page",
        "dataset": f"{_READ}:Dataset",
    },
    methods=("read",),
)
