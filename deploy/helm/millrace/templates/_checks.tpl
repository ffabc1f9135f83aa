{{/* What no schema can tell: values that do not fit each other. */}}
{{- define "millrace.checks" -}}
{{- $spool := .Values.config.spool }}
{{- $wanted := add (include "millrace.bytes" (default "10GiB" $spool.size_limit) | int64) (include "millrace.bytes" (default "256MiB" $spool.reserve) | int64) }}
{{- if lt (include "millrace.bytes" .Values.persistence.size | int64) $wanted }}
{{- fail (printf "persistence.size: %s is less than config.spool.size_limit and config.spool.reserve together (%d bytes). A larger volume, or a lower limit." .Values.persistence.size $wanted) }}
{{- end }}
{{- $admin := .Values.config.admin }}
{{- if regexMatch "^(127[.]|\\[(::1|(::ffff:)?127[.][0-9.]+)\\])" $admin.address }}
{{- fail (printf "config.admin.address: probes come from outside of the pod and do not reach %s, and behind a port-forward the console would ask for no token. Write 0.0.0.0 or [::] with the port." $admin.address) }}
{{- end }}
{{- if eq (include "millrace.port" $admin.address) (include "millrace.port" .Values.config.listen.address) }}
{{- fail "config.admin.address: the port is that of config.listen.address, which the Service for deliveries has. The console needs one of its own." }}
{{- end }}
{{- if and (eq (toString $admin.console) "replay") (not $admin.tokens_file) (not .Values.extraEnv) (not .Values.envFrom) }}
{{- fail "config.admin.tokens_file: a console that replays (config.admin.console) needs a token to sign in. Put one into a Secret, and write tokens_file: {secret: NAME, key: KEY}" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.tlsSecretName) (not .Values.ingress.annotations) }}
{{- fail "ingress.tlsSecretName: Adobe and Marketo send over TLS only. Name the Secret with the certificate, or the annotation by which your load balancer finds its own (ingress.annotations)." }}
{{- end }}
{{- end }}

{{/* Bytes of a size, as Kubernetes (20Gi, 20G) or the program (20GiB, 20GB) writes it. */}}
{{- define "millrace.bytes" -}}
{{- $text := toString . | replace " " "" | trimSuffix "B" }}
{{- $number := regexFind "^[0-9.]+" $text | float64 }}
{{- $unit := regexFind "[A-Za-z]*$" $text | upper }}
{{- $units := dict "" 1 "K" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "P" 1000000000000000 "KI" 1024 "MI" 1048576 "GI" 1073741824 "TI" 1099511627776 "PI" 1125899906842624 }}
{{- mulf $number (get $units $unit | float64) | floor | int64 }}
{{- end }}
