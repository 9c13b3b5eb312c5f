{{/* What is said once for all pods of a set: container settings that are plain values. */}}
{{- define "common-lib.containerSettings" -}}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.livenessProbe }}
livenessProbe:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.readinessProbe }}
readinessProbe:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* How the set replaces its pods: RollingUpdate down to the partition, or OnDelete. */}}
{{- define "common-lib.updateStrategy" -}}
type: {{ .Values.updateStrategy.type }}
{{- if eq .Values.updateStrategy.type "RollingUpdate" }}
rollingUpdate:
  partition: {{ .Values.updateStrategy.partition }}
{{- end }}
{{- end }}

{{/* The claim template: one volume for each pod, kept when the pod goes. */}}
{{- define "common-lib.claimTemplate" -}}
metadata:
  name: {{ .Values.persistence.name }}
spec:
  accessModes:
    {{- toYaml .Values.persistence.accessModes | nindent 4 }}
  {{- with .Values.persistence.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ .Values.persistence.size }}
{{- end }}

{{/* A hook pod: (dict "root" $ "hook" "pre-install" "command" "..."). */}}
{{- define "common-lib.hook" -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "common-lib.fullname" .root }}-{{ .hook }}
  labels:
    {{- include "common-lib.hookLabels" .root | nindent 4 }}
  annotations:
    helm.sh/hook: {{ .hook }}
    {{- with .root.Values.hooks.deletePolicy }}
    helm.sh/hook-delete-policy: {{ . }}
    {{- end }}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
    - name: hook
      image: {{ .root.Values.hooks.image }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      command: ["sh", "-ec", {{ .command | quote }}]
{{- end }}

{{/* The pod of `helm test`: (dict "root" $ "path" "/visits"). */}}
{{- define "common-lib.testConnection" -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "common-lib.fullname" .root }}-test-connection
  labels:
    {{- include "common-lib.hookLabels" .root | nindent 4 }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
    - name: wget
      image: {{ .root.Values.hooks.image }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      command: ["timeout", "20", "wget"]
      args: ["-q", "-O", "-", "http://{{ include "common-lib.fullname" .root }}:{{ .root.Values.service.port }}{{ .path }}"]
{{- end }}
