{{/* What the schema cannot say: values that contradict each other. Each refusal says what to change. */}}
{{- define "probity.refuse" -}}
{{- fail (printf "\n\n  %s\n" .) -}}
{{- end }}

{{- define "probity.validate" -}}
{{- $v := .Values -}}
{{- $services := (include "probity.services" . | fromYaml).services -}}
{{- $names := list -}}{{- range $services }}{{- $names = append $names .name -}}{{- end -}}
{{- range $name, $_ := $v.services -}}
  {{- if not (has $name $names) -}}
    {{- include "probity.refuse" (printf "services.%s is no service of the platform: remove it, or write one of %s" $name (join ", " $names)) -}}
  {{- end -}}
{{- end -}}
{{- include "probity.validateSecrets" . -}}
{{- range $services -}}{{- include "probity.validateService" . -}}{{- end -}}
{{- include "probity.validateMesh" (dict "root" . "services" $services "names" $names) -}}
{{- end }}

{{- define "probity.validateSecrets" -}}
{{- $v := .Values -}}
{{- $vault := eq $v.secrets.provider "vault" -}}
{{- if and $vault (or (not $v.secrets.vault.role) (not $v.secrets.vault.path)) -}}
  {{- include "probity.refuse" "secrets.provider is vault, but secrets.vault.role or secrets.vault.path is empty: set both" -}}
{{- end -}}
{{- if and (not $vault) (not $v.keys.existingSecret) (not $v.keys.generate) -}}
  {{- include "probity.refuse" (printf "no signing keys: make a Secret with `deploy/scripts/keys --namespace %s NAME` and set keys.existingSecret=NAME, or for a trial set keys.generate=true" .Release.Namespace) -}}
{{- end -}}
{{- if and $v.keys.existingSecret $v.keys.generate -}}
  {{- include "probity.refuse" (printf "keys.existingSecret is %s and keys.generate is true: choose one of them" $v.keys.existingSecret) -}}
{{- end -}}
{{- if and (not $vault) (not $v.postgresql.enabled) (not $v.database.existingSecret) -}}
  {{- include "probity.refuse" "no database: set database.existingSecret to a Secret whose key `url` is postgres://user:password@host:5432/database, or for a trial set postgresql.enabled=true" -}}
{{- end -}}
{{- if and $vault $v.backup.enabled -}}
  {{- include "probity.refuse" "backup.enabled needs the address of the database in a Secret, and secrets.provider is vault: back up where the database is, or set secrets.provider=kubernetes" -}}
{{- end -}}
{{- if ne (empty $v.backup.remote) (empty $v.backup.remoteSecret) -}}
  {{- include "probity.refuse" "backup.remote and backup.remoteSecret belong together: set both, the Secret with the key rclone.conf, or none" -}}
{{- end -}}
{{- if and $v.backup.base.enabled (not $v.postgresql.enabled) -}}
  {{- include "probity.refuse" "backup.base.enabled is for the PostgreSQL of this chart, and postgresql.enabled is false: use the point-in-time restore of where the database is, or set backup.base.enabled=false" -}}
{{- end -}}
{{- if and $v.redis.enabled $v.redis.existingSecret -}}
  {{- include "probity.refuse" "redis.enabled is true and redis.existingSecret names another Redis: choose one of them" -}}
{{- end -}}
{{- if and $v.postgresql.enabled $v.database.existingSecret -}}
  {{- include "probity.refuse" "postgresql.enabled is true and database.existingSecret names another database: choose one of them" -}}
{{- end -}}
{{- end }}

{{- define "probity.validateService" -}}
{{- $need := add (int .preStopSeconds) (int .drainSeconds) -}}
{{- if lt (int .terminationGracePeriodSeconds) (int $need) -}}
  {{- include "probity.refuse" (printf "services.%s: terminationGracePeriodSeconds is %d, shorter than preStopSeconds + drainSeconds = %d: set it to at least %d, or calls in flight are cut off" .name (int .terminationGracePeriodSeconds) $need $need) -}}
{{- end -}}
{{- if and .single (gt (int .replicas) 1) -}}
  {{- include "probity.refuse" (printf "services.%s.replicas is %d, but the log has one writer: set it to 1" .name (int .replicas)) -}}
{{- end -}}
{{- if and .lone (gt (int .replicas) 1) -}}
  {{- include "probity.refuse" (printf "services.%s.replicas is %d, but its volume is %s: set services.%s.volume.accessMode=ReadWriteMany with a class that has it, or replicas to 1" .name (int .replicas) .volume.accessMode .name) -}}
{{- end -}}
{{- if and .lone .autoscaling.enabled -}}
  {{- include "probity.refuse" (printf "services.%s.autoscaling.enabled is true, but it has one replica: set it to false" .name) -}}
{{- end -}}
{{- if gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas) -}}
  {{- include "probity.refuse" (printf "services.%s.autoscaling: minReplicas %d is above maxReplicas %d: swap them" .name (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas)) -}}
{{- end -}}
{{- range $which, $of := dict "requests" .resources.requests "limits" .resources.limits -}}
  {{- $memory := toString (get ($of | default dict) "memory") -}}
  {{- if not (regexMatch "^[0-9]+Mi$" $memory) -}}
    {{- include "probity.refuse" (printf "services.%s.resources.%s.memory is %q: write it in mebibytes, from 256Mi to 512Mi" $.name $which $memory) -}}
  {{- end -}}
  {{- $mib := int (trimSuffix "Mi" $memory) -}}
  {{- if or (lt $mib 256) (gt $mib 512) -}}
    {{- include "probity.refuse" (printf "services.%s.resources.%s.memory is %s: the services are made for 256Mi to 512Mi; add replicas instead of memory" $.name $which $memory) -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{- define "probity.validateMesh" -}}
{{- $istio := .root.Values.istio -}}{{- $names := .names -}}
{{- $needs := or $istio.canary $istio.faults $istio.egressHosts $istio.jwt.issuer -}}
{{- if and .root.Values.tls.issuer.name (ne .root.Values.mesh "none") -}}
  {{- include "probity.refuse" (printf "tls.issuer.name is %s, but mesh=%s encrypts already and has to see the calls: remove tls.issuer.name, or set mesh=none" .root.Values.tls.issuer.name .root.Values.mesh) -}}
{{- end -}}
{{- if and $needs (eq .root.Values.mesh "none") -}}
  {{- include "probity.refuse" "istio.canary, faults, egressHosts and jwt need a mesh: set mesh=sidecar or mesh=ambient, or remove them" -}}
{{- end -}}
{{- if and $istio.faults (ne .root.Values.mesh "sidecar") -}}
  {{- include "probity.refuse" "istio.faults need mesh=sidecar: the Gateway API of the ambient mesh has no fault injection" -}}
{{- end -}}
{{- if ne (empty $istio.jwt.issuer) (empty $istio.jwt.jwksUri) -}}
  {{- include "probity.refuse" "istio.jwt has an issuer or a jwksUri alone: set both or none" -}}
{{- end -}}
{{- range $name, $_ := merge (dict) $istio.canary $istio.faults -}}
  {{- if not (has $name $names) -}}
    {{- include "probity.refuse" (printf "istio: %s is no service of the platform: write one of %s" $name (join ", " $names)) -}}
  {{- end -}}
{{- end -}}
{{- range .services -}}
  {{- if and (hasKey $istio.canary .name) (or .stateful .single) -}}
    {{- include "probity.refuse" (printf "istio.canary.%s: this service is upgraded pod by pod, because its replicas have names or are one; remove it and change image.tag" .name) -}}
  {{- end -}}
{{- end -}}
{{- end }}
