{{- define "crewline.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "crewline.selectorLabels" -}}
app.kubernetes.io/name: crewline-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "crewline.labels" -}}
{{ include "crewline.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: crewline
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Just the verbs that the operator uses, in a Role or a ClusterRole. */}}
{{- define "crewline.rules" -}}
- apiGroups: [crewline.dev]
  resources: [jobqueues, scheduledjobs]
  verbs: [get, list, watch]
- apiGroups: [crewline.dev]
  resources: [jobqueues/status, scheduledjobs/status]
  verbs: [patch]
# To own the workers where the cluster enforces it (OwnerReferencesPermissionEnforcement, as on OpenShift).
- apiGroups: [crewline.dev]
  resources: [jobqueues/finalizers]
  verbs: [update]
# A server-side apply of what is not there yet needs create beside patch.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
# Of which of them a rollout takes pods.
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list]
- apiGroups: [""]
  resources: [serviceaccounts]
  # One that was made is removed when a template names another.
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  # One that was made is removed when its JobQueue asks for none any more.
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  # Those that are to go before others get a deletion cost; those that are busy, if asked for, what keeps them. A larger
  # worker (spec.worker.retryWith) is a pod of its own.
  verbs: [get, list, watch, create, patch, delete]
# Handlers' source, Redis URLs, passwords, certificates: only those that a JobQueue names are read, each by its name.
- apiGroups: [""]
  resources: [configmaps, secrets]
  verbs: [get, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
