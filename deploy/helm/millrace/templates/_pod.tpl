{{/* What the service's pods and those of the drain Jobs have in common: a spool, a configuration, no rights. */}}
{{- define "millrace.pod" -}}
serviceAccountName: {{ include "millrace.serviceAccount" . }}
automountServiceAccountToken: false
# A Service called `millrace` would otherwise put MILLRACE_PORT and its like into the environment.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "millrace.gracePeriod" . }}
{{- with concat .Values.imagePullSecrets (default list (default dict .Values.global).imagePullSecrets) }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "millrace.container" -}}
image: {{ include "millrace.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
env:
  {{- include "millrace.env" . | trim | nindent 2 }}
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - name: spool
    mountPath: {{ .Values.config.spool.directory | quote }}
  {{- if include "millrace.files" . }}
  - name: files
    mountPath: /etc/millrace
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* All but the spool's. */}}
{{- define "millrace.volumes" -}}
{{- with include "millrace.files" . }}
- name: files
  projected:
    # The group is podSecurityContext.fsGroup.
    defaultMode: 0440
    sources:
      {{- . | trim | nindent 6 }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
