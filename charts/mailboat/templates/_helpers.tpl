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

{{- define "mailboat.operatorAccount" -}}
{{- if .Values.operator.serviceAccount.create -}}
{{- .Values.operator.serviceAccount.name | default (include "mailboat.operator" .) -}}
{{- else -}}
{{- required "operator.serviceAccount.name: with create: false it has to name an account that is there." .Values.operator.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- /* For what is not in a namespace: two releases of one name must not meet. */ -}}
{{- define "mailboat.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "mailboat.fullname" .) | trunc 200 -}}
{{- end }}

{{- /* All that the operator may do: nothing can be deleted, no spec changed, and Secrets are neither listed nor watched. */ -}}
{{- define "mailboat.operatorRules" -}}
- apiGroups: [mailboat.dev]
  resources: [emailclients, emailtemplates, emailproviders]
  verbs: [get, list, watch]
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

{{- /* What a pod's template has beside its labels. Takes a list: root, component, values of the component. */ -}}
{{- define "mailboat.podMetadata" -}}
{{- $root := index . 0 }}{{ $values := index . 2 -}}
labels:
  {{- include "mailboat.labels" $root | nindent 2 }}
  app.kubernetes.io/component: {{ index . 1 }}
  {{- if has (index . 1) (list "api" "worker" "operator") }}
  mailboat.dev/metrics: "true"
  {{- end }}
  {{- with $values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* The restricted pod security profile, in two halves: for the pod and for its container. */ -}}
{{- define "mailboat.podSecurity" -}}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "mailboat.containerSecurity" -}}
securityContext:
  {{- toYaml .Values.containerSecurityContext | nindent 2 }}
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

{{- define "mailboat.databaseSecret" -}}
name: {{ .Values.database.existingSecret | default (include "mailboat.data" .) }}
key: {{ ternary "database-url" .Values.database.key (empty .Values.database.existingSecret) }}
{{- end }}

{{- define "mailboat.databaseUrl" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      {{- include "mailboat.databaseSecret" . | nindent 6 }}
{{- if .Values.database.ca.existingSecret }}
# What the DSN itself says about TLS wins over these.
- {name: PGSSLMODE, value: verify-full}
- {name: PGSSLROOTCERT, value: /etc/mailboat/database/ca.crt}
{{- end }}
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

{{- /* The URL of the Ingress, if there is one and the settings name no other. */ -}}
{{- define "mailboat.publicUrl" -}}
{{- $ingress := .Values.ingress.api -}}
{{- if and $ingress.enabled $ingress.hosts (not (hasKey .Values.settings "MAILBOAT_PUBLIC_URL")) -}}
{{- printf "%s://%s" (ternary "http" "https" (empty $ingress.tls)) (first $ingress.hosts) -}}
{{- end -}}
{{- end }}

{{- define "mailboat.environment" -}}
{{ include "mailboat.connections" . }}
- {name: MAILBOAT_METRICS_PORT, value: {{ .Values.monitoring.port | quote }}}
{{- if include "mailboat.shards" . }}
- {name: MAILBOAT_MOUNTED, value: /mounted}
{{- end }}
{{- if not (hasKey .Values.settings "MAILBOAT_DIST") }}
- {name: MAILBOAT_DIST, value: /tmp/dist} # outlives the container; its processes share what one of them has compiled
{{- end }}
{{- with include "mailboat.publicUrl" . }}
- name: MAILBOAT_PUBLIC_URL
  value: {{ . | quote }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- /* Of one component: variables of its own, behind ours. */ -}}
{{- define "mailboat.extraEnv" }}
{{- with .extraEnv }}
{{- toYaml . | nindent 12 }}
{{- end }}
{{- with .extraEnvFrom }}
          envFrom:
{{- toYaml . | nindent 12 }}
{{- end }}
{{- end }}

{{- /* The authorities of the database and of Valkey. */ -}}
{{- define "mailboat.caMounts" -}}
{{- range $name := list "database" "valkey" }}
{{- if (index $.Values $name).ca.existingSecret }}
- {name: {{ $name }}-ca, mountPath: /etc/mailboat/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{- define "mailboat.caVolumes" -}}
{{- range $name := list "database" "valkey" }}
{{- $ca := (index $.Values $name).ca }}
{{- if $ca.existingSecret }}
- name: {{ $name }}-ca
  secret:
    secretName: {{ $ca.existingSecret }}
    items: [{key: {{ $ca.key | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- end }}

{{- /* Takes a list: root, values of the component. */ -}}
{{- define "mailboat.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- include "mailboat.caMounts" (index . 0) }}
{{- with (index . 1).extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "mailboat.volumes" -}}
- name: tmp
  emptyDir: {}
{{- include "mailboat.caVolumes" (index . 0) }}
{{- with (index . 1).extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "mailboat.templatesMount" }}
{{- if .Values.templates.configMap }}
            - {name: templates, mountPath: /templates, readOnly: true}
{{- end }}
{{- if include "mailboat.shards" . }}
            - {name: mounted, mountPath: /mounted, readOnly: true}
{{- end }}
{{- end }}

{{- define "mailboat.templatesVolume" }}
{{- with .Values.templates.configMap }}
        - name: templates
          configMap: {name: {{ . }}}
{{- end }}
{{- with include "mailboat.shards" . }}
        # What the operator writes comes into running pods: all are named here, and none has to be there.
        - name: mounted
          projected:
            sources:
              {{- range splitList "," . }}
              - configMap: {name: {{ . }}, optional: true}
              {{- end }}
{{- end }}
{{- end }}

{{- /* The ConfigMaps for declared templates, by name, comma-separated; empty when there are none. */ -}}
{{- define "mailboat.shards" -}}
{{- if and .Values.templates.mounted .Values.operator.enabled -}}
{{- $names := list -}}
{{- range $number := until 32 -}}
{{- $names = append $names (printf "%s-templates-%02d" (include "mailboat.fullname" $) $number) -}}
{{- end -}}
{{- join "," $names -}}
{{- end -}}
{{- end }}

{{- /* Takes a list: root, component, values of the component. Pods of a Deployment keep apart if they can. */ -}}
{{- define "mailboat.scheduling" -}}
{{- $root := index . 0 }}{{ $component := index . 1 }}{{ $values := index . 2 -}}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $apart := dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway" }}
{{- $several := has $component (list "api" "worker" "operator") }}
{{- $labels := merge (dict "app.kubernetes.io/component" $component) (include "mailboat.selector" $root | fromYaml) }}
{{- $defaults := dict "labelSelector" (dict "matchLabels" $labels) }}
{{- if $several }}
{{- $_ := set $defaults "matchLabelKeys" (list "pod-template-hash") }}
{{- end }}
{{- with $values.topologySpreadConstraints | default (ternary (list $apart) list $several) }}
topologySpreadConstraints:
{{- range . }}
  - {{- toYaml (merge (dict) . $defaults) | nindent 4 }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Whether more than one pod of a component may run. */ -}}
{{- define "mailboat.several" -}}
{{- $auto := .autoscaling | default dict }}{{ $keda := .keda | default dict -}}
{{- if or $auto.enabled $keda.enabled (gt (int .replicas) 1) -}}true{{- end -}}
{{- end }}

{{- /* Whether something else than the Deployment says how many pods there are. */ -}}
{{- define "mailboat.scaled" -}}
{{- $auto := .autoscaling | default dict }}{{ $keda := .keda | default dict -}}
{{- if and $auto.enabled $keda.enabled -}}
{{- fail "worker.autoscaling.enabled and worker.keda.enabled: two would scale the workers; choose one." -}}
{{- end -}}
{{- if or $auto.enabled $keda.enabled -}}true{{- end -}}
{{- end }}
