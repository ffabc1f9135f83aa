{{/* Short enough for the names that Kubernetes makes of it (a label with a hash, a claim with an ordinal). */}}
{{/* As a part of another chart under an alias, .Chart.Name is the alias: two of them in one release stay apart. */}}
{{- define "millrace.part" -}}
{{- default .Chart.Name .Values.nameOverride }}
{{- end }}

{{- define "millrace.name" -}}
{{- $part := include "millrace.part" . }}
{{- $own := ternary .Release.Name (printf "%s-%s" .Release.Name $part) (or (eq $part "millrace") (contains $part .Release.Name)) }}
{{- /* Helm takes `my.x` and `1x` as names of releases; a Service takes no dots, and begins with a letter. */}}
{{- $own = replace "." "-" $own }}
{{- if not (regexMatch "^[a-z]" $own) }}
{{- $own = printf "%s-%s" $part $own }}
{{- end }}
{{- $name := default $own .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) }}
{{- fail (printf "the name %q is none for a Service, which begins with a letter and has letters, digits and `-`: set fullnameOverride" $name) }}
{{- end }}
{{- $name }}
{{- end }}

{{- define "millrace.selector" -}}
app.kubernetes.io/name: {{ include "millrace.part" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "millrace.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "millrace.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: millrace
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The pods that take deliveries, and not those of the drain Jobs. */}}
{{- define "millrace.service.selector" -}}
{{ include "millrace.selector" . }}
app.kubernetes.io/component: service
{{- end }}

{{- define "millrace.image" -}}
{{- $image := .Values.image }}
{{- $global := default dict .Values.global }}
{{- with default $image.registry $global.imageRegistry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}
{{- else }}:{{ default .Chart.AppVersion $image.tag }}
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
