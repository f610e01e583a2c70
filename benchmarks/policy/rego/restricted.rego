# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors
#
# The Restricted standard of Kubernetes' Pod Security Standards for Deployments and CronJobs, as people write it for
# conftest: what the benchmark's other side does.
package main

template := input.spec.template if input.kind == "Deployment"

template := input.spec.jobTemplate.spec.template if input.kind == "CronJob"

pod := template.spec

containers := array.concat(object.get(pod, "initContainers", []), object.get(pod, "containers", []))

allowed_volumes := {
	"configMap",
	"csi",
	"downwardAPI",
	"emptyDir",
	"ephemeral",
	"image",
	"persistentVolumeClaim",
	"projected",
	"secret",
}

context(container) := object.get(container, "securityContext", {})

pod_context := object.get(pod, "securityContext", {})

deny contains msg if {
	some container in containers
	context(container).privileged == true
	msg := sprintf("%s: container %s is privileged", [input.metadata.name, container.name])
}

deny contains msg if {
	some container in containers
	object.get(context(container), "allowPrivilegeEscalation", true) != false
	msg := sprintf("%s: container %s may gain privileges", [input.metadata.name, container.name])
}

deny contains msg if {
	some container in containers
	not "ALL" in object.get(context(container), ["capabilities", "drop"], [])
	msg := sprintf("%s: container %s keeps capabilities", [input.metadata.name, container.name])
}

deny contains msg if {
	some container in containers
	added := {name | some name in object.get(context(container), ["capabilities", "add"], [])} - {"NET_BIND_SERVICE"}
	count(added) > 0
	msg := sprintf("%s: container %s adds capabilities", [input.metadata.name, container.name])
}

deny contains msg if {
	some container in containers
	object.get(context(container), "runAsNonRoot", object.get(pod_context, "runAsNonRoot", false)) != true
	msg := sprintf("%s: container %s may run as root", [input.metadata.name, container.name])
}

deny contains msg if {
	some container in containers
	object.get(context(container), "runAsUser", object.get(pod_context, "runAsUser", 1)) == 0
	msg := sprintf("%s: container %s runs as root", [input.metadata.name, container.name])
}

deny contains msg if {
	some container in containers
	inherited := object.get(pod_context, ["seccompProfile", "type"], "")
	not object.get(context(container), ["seccompProfile", "type"], inherited) in {"RuntimeDefault", "Localhost"}
	msg := sprintf("%s: container %s has no seccomp profile", [input.metadata.name, container.name])
}

deny contains msg if {
	some container in containers
	some port in object.get(container, "ports", [])
	object.get(port, "hostPort", 0) != 0
	msg := sprintf("%s: container %s takes a host port", [input.metadata.name, container.name])
}

deny contains msg if {
	some name in {"hostNetwork", "hostPID", "hostIPC"}
	pod[name] == true
	msg := sprintf("%s: sets %s", [input.metadata.name, name])
}

deny contains msg if {
	some volume in object.get(pod, "volumes", [])
	some kind in object.keys(volume)
	not kind in allowed_volumes | {"name"}
	msg := sprintf("%s: volume %s is a %s", [input.metadata.name, volume.name, kind])
}
