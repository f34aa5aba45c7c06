{{- define "mailboat.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "mailboat.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- else if contains (include "mailboat.name" .) .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "mailboat.name" .) | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "mailboat.selector" -}}
app.kubernetes.io/name: {{ include "mailboat.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mailboat.labels" -}}
{{ include "mailboat.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: mailboat
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "mailboat.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "mailboat.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{- define "mailboat.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- printf "%s%s%s" .Values.image.repository (ternary "@" ":" (hasPrefix "sha256:" $tag)) $tag -}}
{{- end }}

{{- define "mailboat.adminSecret" -}}
{{- .Values.admin.existingSecret | default (printf "%s-admin" (include "mailboat.fullname" .)) -}}
{{- end }}

{{- /* The restricted pod security profile, in two halves: for the pod and for its container. */ -}}
{{- define "mailboat.podSecurity" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "mailboat.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "mailboat.databaseUrl" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ required "database.existingSecret is needed: the name of a Secret with PostgreSQL's DSN" .Values.database.existingSecret }}
      key: {{ .Values.database.key }}
{{- end }}

{{- define "mailboat.environment" -}}
{{ include "mailboat.databaseUrl" . }}
- name: REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ required "valkey.existingSecret is needed: the name of a Secret with Valkey's DSN" .Values.valkey.existingSecret }}
      key: {{ .Values.valkey.key }}
{{- with .Values.smtp.existingSecret }}
- name: MAILBOAT_SMTP_URL
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.Values.smtp.key }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "mailboat.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .Values.templates.configMap }}
- {name: templates, mountPath: /templates, readOnly: true}
{{- end }}
{{- end }}

{{- define "mailboat.volumes" -}}
- name: tmp
  emptyDir: {}
{{- with .Values.templates.configMap }}
- name: templates
  configMap: {name: {{ . }}}
{{- end }}
{{- end }}

{{- define "mailboat.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
