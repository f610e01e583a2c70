# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
"""Container machines: podman containers that boot systemd and sshd, so that a cluster can be tried on one host."""
