{{/* Names and labels of this chart. What all charts share is in the library chart common-lib. */}}

{{- define "moscow-time.fullname" -}}
{{- include "common-lib.fullname" . }}
{{- end }}

{{- define "moscow-time.labels" -}}
{{- include "common-lib.labels" . }}
{{- end }}

{{- define "moscow-time.selectorLabels" -}}
{{- include "common-lib.selectorLabels" . }}
{{- end }}
