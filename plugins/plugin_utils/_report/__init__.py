# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Changes, problems and steps as people and programs read them: table, sentences, JSON, DOT, SVG."""

from __future__ import annotations

from ansible_collections.weft.platform.plugins.plugin_utils._report._document import document, text
from ansible_collections.weft.platform.plugins.plugin_utils._report._graph import dot, svg
from ansible_collections.weft.platform.plugins.plugin_utils._report._problems import problems, sentence
from ansible_collections.weft.platform.plugins.plugin_utils._report._steps import Step, steps
from ansible_collections.weft.platform.plugins.plugin_utils._report._summary import Summary, sentences, summarise
from ansible_collections.weft.platform.plugins.plugin_utils._report._table import table

__all__ = [
    "Step",
    "Summary",
    "document",
    "dot",
    "problems",
    "sentence",
    "sentences",
    "steps",
    "summarise",
    "svg",
    "table",
    "text",
]
