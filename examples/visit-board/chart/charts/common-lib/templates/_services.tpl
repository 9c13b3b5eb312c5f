{{/* The service of clients. It has a cluster IP and also governs the set: its pods get their names below it. */}}
{{- define "common-lib.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "common-lib.fullname" . }}
  labels:
    {{- include "common-lib.labels" . | nindent 4 }}
spec:
  type: {{ .Values.service.type }}
  ports:
    - port: {{ .Values.service.port }}
      targetPort: http
      protocol: TCP
      name: http
      {{- if and .Values.service.nodePort (ne .Values.service.type "ClusterIP") }}
      nodePort: {{ .Values.service.nodePort }}
      {{- end }}
  selector:
    {{- include "common-lib.selectorLabels" . | nindent 4 }}
{{- end }}

{{/* A headless service: its name resolves to the pods themselves, its SRV records list them. */}}
{{- define "common-lib.headlessService" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "common-lib.fullname" . }}-headless
  labels:
    {{- include "common-lib.labels" . | nindent 4 }}
spec:
  clusterIP: None
  ports:
    - port: {{ .Values.service.port }}
      targetPort: http
      protocol: TCP
      name: http
  selector:
    {{- include "common-lib.selectorLabels" . | nindent 4 }}
{{- end }}

{{- define "common-lib.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "common-lib.serviceAccountName" . }}
  labels:
    {{- include "common-lib.labels" . | nindent 4 }}
  {{- with .Values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: {{ .Values.serviceAccount.automount }}
{{- end }}
