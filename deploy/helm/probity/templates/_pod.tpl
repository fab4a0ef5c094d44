{{/* The pod template of a service. Takes (dict "root" . "svc" SERVICE "tag" TAG "track" stable|canary). */}}
{{- define "probity.pod" -}}
{{- $root := .root -}}{{- $svc := .svc -}}{{- $mesh := $root.Values.mesh -}}
{{- $vault := eq $root.Values.secrets.provider "vault" -}}
{{- $profile := include "probity.profile" $root | fromYaml -}}
{{- $name := include "probity.name" (dict "root" $root "name" $svc.name) -}}
metadata:
  labels:
    {{- include "probity-lib.labels" (dict "root" $root "name" $svc.name "version" (.tag | default $root.Values.image.tag)) | nindent 4 }}
    probity.dev/track: {{ .track }}
    {{- include "probity-lib.meshLabels" $mesh | nindent 4 }}
  annotations:
    kubectl.kubernetes.io/default-container: {{ $svc.name }}
    probity.dev/config: {{ include "probity.config" (dict "root" $root "svc" $svc) | sha256sum | trunc 16 | quote }}
    {{- if eq $mesh "sidecar" }}
    proxy.istio.io/config: |
      holdApplicationUntilProxyStarts: true
      terminationDrainDuration: {{ add $svc.preStopSeconds $svc.drainSeconds }}s
    {{- end }}
    {{- if $vault }}
    {{- include "probity.vault" (dict "root" $root "svc" $svc) | nindent 4 }}
    {{- end }}
    {{- with $svc.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ $name }}
  automountServiceAccountToken: {{ $vault }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ int $svc.terminationGracePeriodSeconds }}
  {{- if $root.Values.priorityClasses.create }}
  priorityClassName: {{ $root.Release.Name }}-{{ $svc.critical | ternary "critical" "standard" }}
  {{- end }}
  securityContext: {{- include "probity-lib.podSecurity" (dict "user" 65532) | nindent 4 }}
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets: {{- range . }}
    - name: {{ . }}
  {{- end }}{{ end }}
  {{- with $svc.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector: {matchLabels: {{ include "probity-lib.selector" (dict "root" $root "name" $svc.name) | fromYaml | toJson }}}
    {{- end }}
  {{- if and $profile.spot (not $svc.critical) (not $svc.lone) }}
  {{- with $profile.spot.toleration }}
  tolerations:
    - {{ toJson . }}
  {{- end }}
  affinity:
    nodeAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 50
          preference:
            matchExpressions:
              - {key: {{ $profile.spot.label }}, operator: In, values: [{{ $profile.spot.value | quote }}]}
  {{- end }}
  containers:
    - name: {{ $svc.name }}
      image: {{ include "probity.image" (dict "root" $root "name" $svc.name "tag" .tag) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      env: {{- include "probity.env" (dict "root" $root "svc" $svc "configPath" ($vault | ternary "/run/probity/config/probity.toml" "/etc/probity/probity.toml")) | nindent 8 }}
      ports:
        - {name: {{ eq $svc.name "gateway" | ternary "http" "grpc" }}, containerPort: {{ $svc.port }}}
        - {name: http-admin, containerPort: {{ $svc.adminPort }}}
      startupProbe:
        httpGet: {path: /startupz, port: http-admin}
        periodSeconds: 2
        failureThreshold: 60
      readinessProbe:
        httpGet: {path: /readyz, port: http-admin}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
      livenessProbe:
        httpGet: {path: /livez, port: http-admin}
        periodSeconds: 10
        timeoutSeconds: 3
        failureThreshold: 3
      lifecycle:
        preStop: {sleep: {seconds: {{ int $svc.preStopSeconds }}}}
      resources: {{- toYaml $svc.resources | nindent 8 }}
      securityContext: {{- include "probity-lib.containerSecurity" . | nindent 8 }}
      volumeMounts:
        - {name: data, mountPath: /var/lib/probity}
        - {name: tmp, mountPath: /tmp}
        {{- if $root.Values.tls.issuer.name }}
        - {name: tls, mountPath: /run/probity/tls, readOnly: true}
        {{- end }}
        {{- if and $svc.store $root.Values.database.caSecret }}
        - {name: database-ca, mountPath: /run/probity/database, readOnly: true}
        {{- end }}
        {{- if not $vault }}
        - {name: config, mountPath: /etc/probity, readOnly: true}
        - {name: keys, mountPath: /run/probity/keys, readOnly: true}
        {{- end }}
  volumes:
    - {name: tmp, emptyDir: {sizeLimit: 64Mi}}
    {{- if $root.Values.tls.issuer.name }}
    - {name: tls, secret: {secretName: {{ $name }}-tls, defaultMode: 0440}}
    {{- end }}
    {{- if and $svc.store $root.Values.database.caSecret }}
    - {name: database-ca, secret: {secretName: {{ $root.Values.database.caSecret }}, defaultMode: 0444}}
    {{- end }}
    {{- if not $svc.volume }}
    - {name: data, emptyDir: {sizeLimit: 256Mi}}
    {{- end }}
    {{- if not $vault }}
    - name: config
      configMap: {name: {{ $name }}}
    - name: keys
      secret:
        secretName: {{ include "probity.keysSecret" $root }}
        defaultMode: 0440
        items:
          {{- range splitList " " (include "probity.keyFiles" $svc) }}
          - {key: {{ . }}, path: {{ . }}}
          {{- end }}
    {{- end }}
{{- end }}
