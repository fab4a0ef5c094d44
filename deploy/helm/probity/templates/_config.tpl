{{/* The configuration file of a service. Takes (dict "root" . "svc" SERVICE). */}}
{{- define "probity.config" -}}
{{- $root := .root -}}{{- $svc := .svc -}}
[host]
data_dir = "/var/lib/probity"
keys_dir = "/run/probity/keys"
admin_listen = "0.0.0.0:{{ $svc.adminPort }}"

[{{ $svc.section }}.server]
listen = "0.0.0.0:{{ $svc.port }}"

[peers]
{{- $all := (include "probity.services" $root | fromYaml).services }}
{{- range $all }}
{{- if has .name $svc.calls }}
{{ .name }} = "http://{{ include "probity.host" (dict "root" $root "name" .name) }}:{{ .port }}"
{{- end }}
{{- end }}

{{- if $root.Values.tls.issuer.name }}

[tls]
certificate = "/run/probity/tls/tls.crt"
key = "/run/probity/tls/tls.key"
ca = "/run/probity/tls/ca.crt"
{{- end }}

[telemetry]
log_format = "json"
log_filter = {{ $root.Values.telemetry.logFilter | quote }}
sample_ratio = {{ printf "%.4f" (float64 $root.Values.telemetry.sampleRatio) }}
{{- with $root.Values.telemetry.otlpEndpoint }}
otlp_endpoint = {{ . | quote }}
{{- end }}
{{- with $svc.config }}

{{ . | trim }}
{{- end }}
{{- end }}

{{/* Who uses Redis, and the variable with its address: the queue of the orchestrator, the cache of the others. */}}
{{- define "probity.redisUse" -}}
orchestrator: PROBITY_ORCHESTRATOR__REDIS__URL
compliance-validator: PROBITY_CACHE__REDIS__URL
{{- end }}

{{/* Environment of a service: what differs by pod, and what is secret. */}}
{{- define "probity.env" -}}
{{- $root := .root -}}{{- $svc := .svc -}}
- {name: PROBITY_CONFIG, value: {{ .configPath | quote }}}
{{- if eq $svc.name "orchestrator" }}
- name: PROBITY_ORCHESTRATOR__REPLICA
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: PROBITY_ORCHESTRATOR__ADVERTISE
  value: http://$(PROBITY_ORCHESTRATOR__REPLICA).{{ include "probity.name" (dict "root" $root "name" $svc.name) }}-pods.{{ $root.Release.Namespace }}.svc.cluster.local:{{ $svc.port }}
{{- end }}
{{- with get (include "probity.redisUse" $root | fromYaml) $svc.name }}
{{- if $root.Values.redis.enabled }}
- {name: {{ . }}, value: "redis://{{ include "probity.host" (dict "root" $root "name" "redis") }}:6379"}
{{- else if $root.Values.redis.existingSecret }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $root.Values.redis.existingSecret }}, key: {{ $root.Values.redis.key }}}}
{{- end }}
{{- end }}
{{- if $svc.store }}
- {name: PROBITY_{{ upper $svc.section }}__DATABASE__MAX_READERS, value: {{ $root.Values.database.maxReaders | quote }}}
{{- if eq $root.Values.secrets.provider "kubernetes" }}
- name: PROBITY_{{ upper $svc.section }}__DATABASE__URL
  valueFrom: {secretKeyRef: {name: {{ include "probity.databaseSecret" $root }}, key: {{ $root.Values.database.key }}}}
{{- end }}
{{- end }}
{{- end }}

{{/* Annotations for the Vault agent: every key file, and the configuration with the address of the database. */}}
{{- define "probity.vault" -}}
{{- $root := .root -}}{{- $svc := .svc -}}{{- $vault := $root.Values.secrets.vault -}}
vault.hashicorp.com/agent-inject: "true"
vault.hashicorp.com/agent-init-first: "true"
vault.hashicorp.com/role: {{ $vault.role | quote }}
vault.hashicorp.com/agent-run-as-user: "65532"
vault.hashicorp.com/agent-run-as-group: "65532"
vault.hashicorp.com/secret-volume-path: /run/probity/keys
{{- range splitList " " (include "probity.keyFiles" $svc) }}
vault.hashicorp.com/agent-inject-secret-{{ . }}: {{ printf "%s/keys" $vault.path | quote }}
vault.hashicorp.com/agent-inject-perms-{{ . }}: "0440"
vault.hashicorp.com/agent-inject-template-{{ . }}: |
  {{ printf "{{- with secret %q -}}{{ index .Data.data %q }}{{- end -}}" (printf "%s/keys" $vault.path) . }}
{{- end }}
vault.hashicorp.com/agent-inject-secret-probity.toml: {{ printf "%s/database" $vault.path | quote }}
vault.hashicorp.com/agent-inject-perms-probity.toml: "0440"
vault.hashicorp.com/secret-volume-path-probity.toml: /run/probity/config
vault.hashicorp.com/agent-inject-template-probity.toml: |
  {{- include "probity.config" . | nindent 2 }}
  {{- if $svc.store }}

  [{{ $svc.section }}.database]
  {{ printf "url = \"{{ with secret %q }}{{ .Data.data.url }}{{ end }}\"" (printf "%s/database" $vault.path) }}
  {{- end }}
{{- end }}
