# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""The reader for kubeadm's YAML agrees with a full one, or refuses."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.weft.platform.plugins.module_utils._kubeadm import _yaml
from hypothesis import given
from hypothesis import strategies as st

MANIFEST = """\
apiVersion: v1
kind: Pod
metadata:
  annotations:
    kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint: 192.0.2.11:6443
  creationTimestamp: null
  labels:
    component: kube-apiserver
  name: kube-apiserver
spec:
  containers:
  - command:
    - kube-apiserver
    - --advertise-address=192.0.2.11
    - --authorization-mode=Node,RBAC
    - --requestheader-extra-headers-prefix=X-Remote-Extra-
    - '--oidc-required-claim=a: b'
    image: registry.k8s.io/kube-apiserver:v1.37.2
    livenessProbe:
      failureThreshold: 8
      httpGet:
        path: /livez
        port: probe-port
    resources:
      requests:
        cpu: 250m
    volumeMounts:
    - mountPath: /etc/ssl/certs
      name: ca-certs
      readOnly: true
  hostNetwork: true
status: {}
"""


def test_a_manifest_as_kubeadm_writes_it() -> None:
    assert _yaml.load(MANIFEST) == yaml.safe_load(MANIFEST)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: -2\nc: 1.5\nd: true\ne: null\nf: ~\ng: ''\n",
        "a:\n- b: 1\n  c:\n  - d\n  - e\n- f\n",
        "a:\n  - - 1\n    - 2\n  - []\n  - {}\n",
        "a: \"x\\ty \\u00e9\"\nb: 'it''s'\n",
        "a: one\n  two\n  three\nb: 2\n",
        "a: |\n  first\n    second\n\n  third\nb: x\n",
        "a: |-\n  only\n",
        "# a comment\na: b # another\n",
        "- 1\n- two words\n",
        "---\na: http://h:1/p?q#f\n",
        "a:\nb:\n  c:\n",
        '{"a": [1, {"b": null}]}',
        "",
    ],
)
def test_agrees_with_a_full_reader(text: str) -> None:
    assert _yaml.load(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    "text", ["a: [1, 2]\n", "a: &x 1\n", "a: !!str 1\n", "a: >\n  b\n", "\ta: 1\n", "a: 1\na: 2\n"]
)
def test_refuses_what_it_does_not_know(text: str) -> None:
    with pytest.raises(_yaml.YamlError):
        _yaml.load(text)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs")), max_size=120),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcdefgh./-_", min_size=1, max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=6), VALUES, min_size=1, max_size=4))
def test_reads_back_what_a_full_writer_wrote(value: object) -> None:
    text = yaml.safe_dump(value, default_flow_style=False)
    try:
        found = _yaml.load(text)
    except _yaml.YamlError:
        return  # refusing is allowed; misreading is not
    assert found == value


def test_flags_of_a_command() -> None:
    assert _yaml.flags(["etcd", "--a=1", "--b", "--c=x=y", "--a=2"]) == (
        "etcd",
        {"--a": ["1", "2"], "--b": "", "--c": "x=y"},
    )
