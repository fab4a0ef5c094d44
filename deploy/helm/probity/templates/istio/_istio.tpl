{{/* Time for a call through the mesh: a little more than the longest stream the gateway allows, so that the answer to a
     deadline is the application's own. Retries are the application's as well: it knows what may be repeated. */}}
{{- define "probity.routeTimeout" -}}
3660s
{{- end }}

{{/* Destinations of a service in the sidecar form. Takes root, name, port, canary. */}}
{{- define "probity.destinations" -}}
{{- $host := include "probity.host" . -}}
- destination: {host: {{ $host }}, subset: stable, port: {number: {{ .port }}}}
  {{- if .canary }}
  weight: {{ sub 100 (int .canary.weight) }}
- destination: {host: {{ $host }}, subset: canary, port: {number: {{ .port }}}}
  weight: {{ int .canary.weight }}
  {{- end }}
{{- end }}

{{/* The routes of a service in the sidecar form: whoever asks for the preview gets it, the others by weight. */}}
{{- define "probity.routes" -}}
{{- if .canary }}
- name: preview
  match: [{headers: {x-probity-preview: {exact: {{ .name }}}}}]
  route: [{destination: {host: {{ include "probity.host" . }}, subset: canary, port: {number: {{ .port }}}}}]
  timeout: {{ include "probity.routeTimeout" . }}
  retries: {attempts: 0}
{{- end }}
- name: default
  {{- with .fault }}
  fault:
    {{- if and .delay .delayPercent }}
    delay: {fixedDelay: {{ .delay }}, percentage: {value: {{ int .delayPercent }}}}
    {{- end }}
    {{- if and .abort .abortPercent }}
    abort: {httpStatus: {{ int .abort }}, percentage: {value: {{ int .abortPercent }}}}
    {{- end }}
  {{- end }}
  route:
    {{- include "probity.destinations" . | nindent 4 }}
  timeout: {{ include "probity.routeTimeout" . }}
  {{- if .fromOutside }}
  # Nobody behind the ingress gateway repeats a call for whoever is in front of it. What has not reached a pod may go to
  # another one.
  retries: {attempts: 2, retryOn: "connect-failure,refused-stream"}
  {{- else }}
  retries: {attempts: 0}
  {{- end }}
{{- end }}

{{/* Rules of an HTTPRoute. Takes root, name, port, canary. */}}
{{- define "probity.gatewayApiRules" -}}
{{- $name := include "probity.name" . -}}
{{- if .canary }}
- matches: [{headers: [{name: x-probity-preview, value: {{ .name }}}]}]
  timeouts: {request: {{ include "probity.routeTimeout" . }}}
  backendRefs: [{name: {{ $name }}-canary, port: {{ .port }}}]
- timeouts: {request: {{ include "probity.routeTimeout" . }}}
  backendRefs:
    - {name: {{ $name }}-stable, port: {{ .port }}, weight: {{ sub 100 (int .canary.weight) }}}
    - {name: {{ $name }}-canary, port: {{ .port }}, weight: {{ int .canary.weight }}}
{{- else }}
- timeouts: {request: {{ include "probity.routeTimeout" . }}}
  backendRefs: [{name: {{ $name }}, port: {{ .port }}}]
{{- end }}
{{- end }}
