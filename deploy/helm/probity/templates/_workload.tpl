{{- define "probity.ports" -}}
- name: {{ eq .name "gateway" | ternary "http" "grpc" }}
  port: {{ .port }}
  targetPort: {{ .port }}
  appProtocol: {{ eq .name "gateway" | ternary "http" "kubernetes.io/h2c" }}
- name: http-admin
  port: {{ .adminPort }}
  targetPort: {{ .adminPort }}
  appProtocol: http
{{- end }}

{{/* A Deployment, or a StatefulSet where replicas have names. Takes root, svc, name, tag, track. */}}
{{- define "probity.workload" -}}
{{- $svc := .svc -}}{{- $root := .root -}}
{{- $id := dict "root" $root "name" $svc.name }}
apiVersion: apps/v1
kind: {{ $svc.stateful | ternary "StatefulSet" "Deployment" }}
metadata:
  name: {{ .name }}
  labels: {{- include "probity-lib.labels" $id | nindent 4 }}
spec:
  {{- if not $svc.autoscaling.enabled }}
  replicas: {{ int $svc.replicas }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "probity-lib.selector" $id | nindent 6 }}
      probity.dev/track: {{ .track }}
  {{- if $svc.stateful }}
  serviceName: {{ .name }}-pods
  podManagementPolicy: Parallel
  {{- with $svc.volume }}
  volumeClaimTemplates:
    - apiVersion: v1
      kind: PersistentVolumeClaim
      metadata: {name: data}
      spec:
        accessModes: [{{ .accessMode }}]
        {{- with .className | default (include "probity.profile" $root | fromYaml).storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources: {requests: {storage: {{ .size }}}}
  {{- end }}
  {{- else if $svc.single }}
  # Never two writers: the old one is gone before the new one starts.
  strategy: {type: Recreate}
  {{- else }}
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  {{- end }}
  revisionHistoryLimit: 5
  template:
    {{- include "probity.pod" . | nindent 4 }}
{{- end }}

{{- define "probity.autoscaler" -}}
{{- $svc := .svc }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  labels: {{- include "probity-lib.labels" (dict "root" .root "name" $svc.name) | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: {{ $svc.stateful | ternary "StatefulSet" "Deployment" }}
    name: {{ .name }}
  minReplicas: {{ int $svc.autoscaling.minReplicas }}
  maxReplicas: {{ int $svc.autoscaling.maxReplicas }}
  behavior:
    scaleDown: {stabilizationWindowSeconds: 300}
  metrics:
    - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ int $svc.autoscaling.cpuPercent }}}}}
    - {type: Resource, resource: {name: memory, target: {type: Utilization, averageUtilization: {{ int $svc.autoscaling.memoryPercent }}}}}
    {{- range $svc.autoscaling.pods }}
    - {type: Pods, pods: {metric: {name: {{ .metric }}}, target: {type: AverageValue, averageValue: {{ .average | quote }}}}}
    {{- end }}
{{- end }}
