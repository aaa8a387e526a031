"""datatrove's JsonlReader and DocumentTokenizer, one task: FOLDER NAME TOKENIZER EOS OUTPUT."""

import sys

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer


def main() -> None:
    folder, name, tokenizer, eos, output = sys.argv[1:]
    LocalPipelineExecutor(
        pipeline=[
            JsonlReader(folder, glob_pattern=name),
            DocumentTokenizer(
                f"{output}/tokens", tokenizer, eos_token=eos, shuffle_documents=False
            ),
        ],
        tasks=1,
        workers=1,
        logging_dir=f"{output}/logs",
    ).run()


if __name__ == "__main__":
    main()
