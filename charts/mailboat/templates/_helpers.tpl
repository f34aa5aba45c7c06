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

{{- define "mailboat.operator" -}}
{{- include "mailboat.fullname" . -}}-operator
{{- end }}

{{- /* For what is not in a namespace: two releases of one name must not meet. */ -}}
{{- define "mailboat.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "mailboat.fullname" .) | trunc 200 -}}
{{- end }}

{{- /* All that the operator may do: nothing can be deleted, and Secrets are neither listed nor watched. */ -}}
{{- define "mailboat.operatorRules" -}}
- apiGroups: [mailboat.dev]
  resources: [emailclients, emailtemplates, emailproviders]
  verbs: [get, list, watch, patch]
- apiGroups: [mailboat.dev]
  resources: [emailclients/status, emailtemplates/status, emailproviders/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
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

{{- /* The bundled PostgreSQL and Valkey are there when no others are named. */ -}}
{{- define "mailboat.bundled" -}}
{{- if ne (empty .Values.database.existingSecret) (empty .Values.valkey.existingSecret) -}}
{{- fail "Name both database.existingSecret and valkey.existingSecret, or neither to use the bundled servers." -}}
{{- end -}}
{{- if empty .Values.database.existingSecret -}}true{{- end -}}
{{- end }}

{{- define "mailboat.data" -}}
{{- include "mailboat.fullname" . -}}-data
{{- end }}

{{- define "mailboat.databaseUrl" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.existingSecret | default (include "mailboat.data" .) }}
      key: {{ ternary "database-url" .Values.database.key (empty .Values.database.existingSecret) }}
{{- end }}

{{- define "mailboat.sealingSecret" -}}
{{- .Values.sealing.existingSecret | default (printf "%s-sealing" (include "mailboat.fullname" .)) -}}
{{- end }}

{{- define "mailboat.connections" -}}
{{ include "mailboat.databaseUrl" . }}
- name: REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.valkey.existingSecret | default (include "mailboat.data" .) }}
      key: {{ ternary "valkey-url" .Values.valkey.key (empty .Values.valkey.existingSecret) }}
- name: MAILBOAT_SEALING_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "mailboat.sealingSecret" . }}
      key: {{ .Values.sealing.key }}
{{- with .Values.smtp.existingSecret }}
- name: MAILBOAT_SMTP_URL
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.Values.smtp.key }}
{{- end }}
{{- end }}

{{- define "mailboat.environment" -}}
{{ include "mailboat.connections" . }}
{{- if not (hasKey .Values.settings "MAILBOAT_DIST") }}
- {name: MAILBOAT_DIST, value: /tmp/dist} # outlives the container; its processes share what one of them has compiled
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
