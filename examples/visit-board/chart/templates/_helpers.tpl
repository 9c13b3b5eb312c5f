{{/* Names and labels of this chart. What all charts share is in the library chart common-lib. */}}

{{- define "visit-board.fullname" -}}
{{- include "common-lib.fullname" . }}
{{- end }}

{{- define "visit-board.labels" -}}
{{- include "common-lib.labels" . }}
{{- end }}

{{- define "visit-board.selectorLabels" -}}
{{- include "common-lib.selectorLabels" . }}
{{- end }}

{{/* The headless service whose SRV records list the replicas to ask. */}}
{{- define "visit-board.targetService" -}}
{{- default (printf "%s-targets" (include "common-lib.fullname" .)) .Values.target.service }}
{{- end }}
