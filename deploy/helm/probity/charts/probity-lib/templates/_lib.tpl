{{/* Labels of everything. Takes (dict "root" . "name" NAME). */}}
{{- define "probity-lib.labels" -}}
{{ include "probity-lib.selector" . }}
app.kubernetes.io/part-of: probity
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .version | default .root.Chart.AppVersion | replace ":" "_" | trunc 63 | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | quote }}
{{- end }}

{{/* What selects the pods of one service. */}}
{{- define "probity-lib.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* Pod Security "restricted". Takes (dict "user" UID). */}}
{{- define "probity-lib.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .user }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "probity-lib.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Labels that put a pod into the mesh. Takes the mesh. */}}
{{- define "probity-lib.meshLabels" -}}
{{- if eq . "sidecar" }}
sidecar.istio.io/inject: "true"
{{- else if eq . "ambient" }}
istio.io/dataplane-mode: ambient
{{- end }}
{{- end }}
