{{/* Name of an object of the release. Takes (dict "root" . "name" NAME). */}}
{{- define "probity.name" -}}
{{ printf "%s-%s" .root.Release.Name .name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "probity.profile" -}}
{{ get (.Files.Get "files/profiles.yaml" | fromYaml) .Values.profile | toYaml }}
{{- end }}

{{/* All services, each with its settings: the profile, defaults, its class, its own. */}}
{{- define "probity.services" -}}
{{- $root := . -}}
{{- $profile := include "probity.profile" . | fromYaml -}}
{{- $list := list -}}
{{- range (.Files.Get "files/platform.yaml" | fromYaml).services -}}
  {{- $own := get $root.Values.services .name | default dict -}}
  {{- $cpu := .critical | ternary $profile.criticalCpu $profile.standardCpu -}}
  {{- $class := dict "requests" (dict "cpu" $cpu "memory" "256Mi") "limits" (dict "memory" "512Mi") -}}
  {{- if .critical -}}
    {{- $class = dict "requests" (dict "cpu" $cpu "memory" "512Mi") "limits" (dict "cpu" $cpu "memory" "512Mi") -}}
  {{- end -}}
  {{- $s := mergeOverwrite (dict "resources" $class "stateful" false "single" false) (deepCopy $root.Values.defaults) (deepCopy $own) . -}}
  {{- if kindIs "invalid" $s.replicas -}}{{- $_ := set $s "replicas" $profile.replicas -}}{{- end -}}
  {{- if kindIs "invalid" $s.autoscaling.enabled -}}{{- $_ := set $s.autoscaling "enabled" $profile.autoscaling -}}{{- end -}}
  {{- /* One writer, or one volume that one node mounts: one replica. */ -}}
  {{- $lone := or $s.single (and $s.volume (ne (dig "accessMode" "" ($s.volume | default dict)) "ReadWriteMany")) -}}
  {{- $_ := set $s "lone" (not (not $lone)) -}}
  {{- if $lone -}}
    {{- if not (hasKey $own "replicas") -}}{{- $_ := set $s "replicas" 1 -}}{{- end -}}
    {{- $_ := set $s.autoscaling "enabled" (dig "autoscaling" "enabled" false $own) -}}
  {{- end -}}
  {{- $list = append $list $s -}}
{{- end -}}
{{ dict "services" $list | toYaml }}
{{- end }}

{{/* The image of a service. Takes (dict "root" . "name" NAME "tag" TAG). */}}
{{- define "probity.image" -}}
{{- $tag := .tag | default .root.Values.image.tag | default .root.Chart.AppVersion -}}
{{- $mark := hasPrefix "@" $tag | ternary "" ":" -}}
{{ .root.Values.image.registry }}/probity-{{ .name }}{{ $mark }}{{ $tag }}
{{- end }}

{{- define "probity.host" -}}
{{ include "probity.name" . }}.{{ .root.Release.Namespace }}.svc.cluster.local
{{- end }}

{{- define "probity.keysSecret" -}}
{{ .Values.keys.existingSecret | default (printf "%s-keys" .Release.Name) }}
{{- end }}

{{- define "probity.databaseSecret" -}}
{{ .Values.database.existingSecret | default (printf "%s-postgresql" .Release.Name) }}
{{- end }}

{{/* The key files a service needs: its own pair and the public halves of its callers. */}}
{{- define "probity.keyFiles" -}}
{{- $files := list (printf "%s.key" .name) (printf "%s.pub" .name) -}}
{{- range .callers }}{{ $files = append $files (printf "%s.pub" .) }}{{ end -}}
{{- if eq .name "gateway" }}{{ $files = concat $files (list "users.key" "users.pub") }}{{ end -}}
{{- if eq .name "audit-aggregator" }}{{ $files = concat $files (list "log.key" "log.pub") }}{{ end -}}
{{ $files | uniq | join " " }}
{{- end }}

{{/* Identity of a service in the mesh. */}}
{{- define "probity.principal" -}}
cluster.local/ns/{{ .root.Release.Namespace }}/sa/{{ include "probity.name" . }}
{{- end }}

{{/* Namespace of the pods that let callers in: the Gateway API makes them beside its Gateway. */}}
{{- define "probity.doorNamespace" -}}
{{- if eq .Values.mesh "ambient" }}{{ .Release.Namespace }}
{{- else if eq .Values.mesh "sidecar" }}{{ .Values.istio.gatewayNamespace }}
{{- else }}{{ .Values.networkPolicy.ingressNamespace }}
{{- end }}
{{- end }}
