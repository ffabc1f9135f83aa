{{/*
From `config` to environment variables and mounted files. No key of the program is named here, so that
a new one needs no change.
*/}}

{{/*
The leaves of a tree of values as a YAML list: each with its path, and with its text or with the file
that is to be mounted for it.
Takes {path: the way to `values`, values: a map}.
*/}}
{{- define "millrace.leaves" -}}
{{- $path := .path }}
{{- range $name, $value := .values }}
{{- $here := append $path $name }}
{{- if kindIs "invalid" $value }}
{{- else if and (kindIs "map" $value) (eq (include "millrace.isFile" $value) "true") }}
- {{ dict "path" $here "file" $value | toJson }}
{{- else if kindIs "map" $value }}
{{- include "millrace.leaves" (dict "path" $here "values" $value) }}
{{- else }}
{{- if regexMatch "(?i)(^|[._])(tokens|password|passphrase|secret|key[._]pem)$" $name }}
{{- fail (printf "config.%s: everybody who may see the pod could read it here. Put it into a Secret, and write %s_file: {secret: NAME, key: KEY}" (join "." $here) $name) }}
{{- end }}
- {{ dict "path" $here "text" (include "millrace.text" (dict "value" $value)) | toJson }}
{{- end }}
{{- end }}
{{- end }}

{{/* {secret, key} or {configMap, key}, and nothing else. */}}
{{- define "millrace.isFile" -}}
{{- and (eq (len .) 2) (hasKey . "key") (or (hasKey . "secret") (hasKey . "configMap")) }}
{{- end }}

{{/* Numbers come as floats, and must not become 6.048e+08. Lists are read as JSON. */}}
{{- define "millrace.text" -}}
{{- if kindIs "slice" .value }}{{ toJson .value }}
{{- else if kindIs "float64" .value }}
{{- if eq .value (floor .value) }}{{ int64 .value }}{{ else }}{{ .value }}{{ end }}
{{- else }}{{ .value }}
{{- end }}
{{- end }}

{{/* MILLRACE_SOURCES__USER_AUDIT__AUTH__TOKENS_FILE of [sources, user-audit, auth, tokens_file]. */}}
{{- define "millrace.variable" -}}
MILLRACE_{{ range $i, $name := . }}{{ if $i }}__{{ end }}{{ $name | upper | replace "-" "_" | replace "." "_" }}{{ end }}
{{- end }}

{{- define "millrace.file" -}}
{{ join "." . | trimSuffix "_file" | trimSuffix ".file" }}
{{- end }}

{{- define "millrace.env" -}}
{{- range include "millrace.leaves" (dict "path" list "values" .Values.config) | fromYamlArray }}
- name: {{ include "millrace.variable" .path }}
{{- if .file }}
  value: /etc/millrace/{{ include "millrace.file" .path }}
{{- else }}
  {{- /* Kubernetes would put a variable's value in place of $(NAME). */}}
  value: {{ .text | replace "$(" "$$(" | quote }}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The items of the one volume that has every file of `config`; empty when there is none. */}}
{{- define "millrace.files" -}}
{{- range include "millrace.leaves" (dict "path" list "values" .Values.config) | fromYamlArray }}
{{- $path := .path }}
{{- with .file }}
- {{ ternary "secret" "configMap" (hasKey . "secret") }}:
    name: {{ default .configMap .secret | quote }}
    items:
      - key: {{ .key | quote }}
        path: {{ include "millrace.file" $path | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Seconds of a time as `1m 30s`, rounded up. */}}
{{- define "millrace.seconds" -}}
{{- $seconds := 0 }}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" . -1 }}
{{- $count := regexFind "[0-9]+" . | int }}
{{- $unit := regexFind "[a-z]+" . }}
{{- if eq $unit "ms" }}{{ $seconds = add $seconds (div (add $count 999) 1000) }}
{{- else }}{{ $seconds = add $seconds (mul $count (get (dict "s" 1 "m" 60 "h" 3600) $unit)) }}
{{- end }}
{{- end }}
{{- $seconds }}
{{- end }}

{{/*
The longest stop: the delay, the last requests (with their default where the values say nothing), the
flush, and time to close files. A pod that is killed earlier loses nothing, but repeats.
*/}}
{{- define "millrace.gracePeriod" -}}
{{- $config := .Values.config }}
{{- $requests := default "8s" $config.listen.request_timeout }}
{{- add (include "millrace.seconds" $config.shutdown.delay) (include "millrace.seconds" $requests) (include "millrace.seconds" $config.shutdown.flush) 15 }}
{{- end }}
