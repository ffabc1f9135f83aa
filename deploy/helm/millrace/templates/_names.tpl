{{/* Short enough for the names that Kubernetes makes of it (a label with a hash, a claim with an ordinal). */}}
{{- define "millrace.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "millrace.selector" -}}
app.kubernetes.io/name: millrace
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "millrace.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "millrace.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* The pods that take deliveries, and not those of the drain Jobs. */}}
{{- define "millrace.service.selector" -}}
{{ include "millrace.selector" . }}
app.kubernetes.io/component: service
{{- end }}

{{- define "millrace.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}
{{- else }}{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}
{{- end }}
{{- end }}

{{- define "millrace.serviceAccount" -}}
{{- default (ternary (include "millrace.name" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{/* The port of an address, `0.0.0.0:8080` or `[::]:8080`. */}}
{{- define "millrace.port" -}}
{{- regexFind "[0-9]+$" . }}
{{- end }}

{{/* http, or https where the program itself ends TLS. */}}
{{- define "millrace.scheme" -}}
{{- ternary "https" "http" (not (empty .Values.config.listen.tls)) }}
{{- end }}
